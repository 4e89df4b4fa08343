"""Kinds of values that parameters have: each function reads one, or raises ValueError that says what is wrong."""

import re
from zoneinfo import ZoneInfo

from sipsilo.formats import Format, Variable, parse_format, parse_variable
from sipsilo.sip.errors import SipError
from sipsilo.sip.header_lines import WRITTEN_BY_THE_SENDER, parse_header_lines
from sipsilo.sip.headers import parse_media_type
from sipsilo.sip.names import canonical_name
from sipsilo.sip.uri import parse_uri

_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_TRANSPORTS = ("udp", "tcp")


def read_text(value: object) -> str:
    """A text that says something."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    if not value:
        raise ValueError("'' is empty")
    return value


# -- SIP


def read_sip_uri(value: object) -> str:
    """A SIP URI with a host."""
    text = read_text(value)
    try:
        uri = parse_uri(text)
    except SipError:
        raise ValueError(f"{text!r} is no SIP URI") from None
    if uri.scheme != "sip" or not uri.host:
        raise ValueError(f"{text!r} is no SIP URI")
    return text


def read_proxy_uri(value: object) -> str:
    """A SIP URI to send to; its transport is one that we have."""
    text = read_sip_uri(value)
    transport = parse_uri(text).param("transport")
    if transport is not None and transport.lower() not in _TRANSPORTS:
        raise ValueError(f"{text!r} asks for the transport {transport!r}")
    return text


# -- texts with pseudo-variables


def read_format(value: object) -> Format:
    """A text with pseudo-variables."""
    return parse_format(read_text(value))


def read_address_format(value: object) -> Format:
    """A SIP URI with pseudo-variables in it, or one that is all of it."""
    text = read_text(value)
    address = parse_format(text)
    if isinstance(address.parts[0], str):
        try:
            # whatever stands there, the rest must be right: 1 is good for a user, a host and a port
            read_sip_uri(address.expand(lambda variable: 1))
        except ValueError:
            raise ValueError(f"{text!r} is no SIP URI") from None
    return address


def read_header_format(value: object) -> Format:
    """Whole header lines with pseudo-variables in their values; the CRLF of the last one may be missing."""
    return _header_format(value, WRITTEN_BY_THE_SENDER)


def read_content_type_format(value: object) -> Format:
    """A whole Content-Type line."""
    line = _header_format(value, frozenset())
    name, _, media_type = str(line).partition(": ")
    if canonical_name(name) != "content-type" or str(line).count("\r\n") > 1:
        raise ValueError(f"{value!r} is no Content-Type line")
    if line.is_constant:
        try:
            parse_media_type(media_type.removesuffix("\r\n"))
        except SipError:
            raise ValueError(f"{value!r} names no media type") from None
    return line


def _header_format(value: object, forbidden: frozenset[str]) -> Format:
    lines = parse_header_lines(read_text(value))
    for name, _ in lines:
        if canonical_name(name) in forbidden:
            raise ValueError(f"{name!r} is a header that the silo writes itself")
    return parse_format("".join(f"{name}: {text}\r\n" for name, text in lines))


# -- names


def read_avp(value: object) -> Variable:
    """The AVP that `$avp(name)`, or just `name`, means."""
    text = read_text(value)
    variable = parse_variable(f"$avp({text})" if _NAME.match(text) else text)
    if variable.name != "$avp":
        raise ValueError(f"{text!r} is no AVP")
    return variable


def read_flag(value: object) -> int | str | None:
    """A flag by its number or its name; -1 is none, as in Kamailio."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value, re.A):
        if not _IDENTIFIER.match(value):
            raise ValueError(f"{value!r} is no name of a flag")
        return value
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no flag")
    number = int(value)
    if not -1 <= number <= 31:
        raise ValueError(f"{number} is out of range")
    return None if number == -1 else number


def read_identifier(value: object) -> str:
    """A name that every database takes without quotes."""
    text = read_text(value)
    if not _IDENTIFIER.match(text) or len(text) > 56:  # PostgreSQL's 63 with "_expiry", an index's name, behind it
        raise ValueError(f"{text!r} is no name of a table or column")
    return text


def read_time_zone(value: object) -> str:
    """A time zone of the IANA's list that this system knows."""
    text = read_text(value)
    try:
        ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"{text!r} is no time zone known here") from None
    return text
