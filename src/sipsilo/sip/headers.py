"""The values of header fields, one type each (RFC 3261 §20 and §25.1)."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from sipsilo.sip.errors import SipError
from sipsilo.sip.limits import MAX_LIST
from sipsilo.sip.uri import Params, Uri, canonical_host, parse_uri, split_params

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
_LIST_PART = re.compile(rf'(?:{_QUOTED}|<[^<>"]*>|[^,"<>])+')
_PARAM = re.compile(rf'\s*;\s*({_TOKEN})(?:\s*=\s*({_QUOTED}|[^\s;"<>=]+))?\s*')
# What nearly all From and To headers look like, read in one step.
_USUAL_NAME_ADDR = re.compile(rf"<([^<>\s]+)>(?:;tag=({_TOKEN}))?\Z")
_QUOTED_STRING = re.compile(_QUOTED, re.S)
# Without quotes a display name is tokens (§25.1); people write more, so only what would mislead is refused.
_DISPLAY = re.compile(r'[^"<>;,]*\Z')
_VIA = re.compile(
    rf"\s*SIP\s*/\s*2\.0\s*/\s*(?P<transport>{_TOKEN})\s+"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?:\s*:\s*(?P<port>[0-9]{1,5}))?\s*(?P<params>(?:;.*)?)\Z",
    re.I | re.S | re.A,
)
# What nearly all Vias from phones look like, read in one step.
_USUAL_VIA = re.compile(
    rf"SIP/2\.0/(UDP|TCP) ([A-Za-z0-9.-]+)(?::([1-9][0-9]{{0,3}}|[1-5][0-9]{{4}}))?;branch=({_TOKEN})(;rport)?\Z"
)
_CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]+({_TOKEN})\Z")
_MEDIA = re.compile(rf"\s*({_TOKEN})\s*/\s*({_TOKEN})\s*((?:;.*)?)\Z", re.S)
_Q = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
is_token = re.compile(rf"{_TOKEN}\Z").match


def split_list(value: str) -> list[str]:
    """The values of one comma-separated field; commas in quotes and angle brackets do not separate.

    Empty elements are skipped (§7.3.1 grammar of lists). Raises SipError(400).
    """
    if "," not in value:
        return [value] if value else []
    parts, position = [], 0
    while position < len(value):
        match = _LIST_PART.match(value, position)
        if match is not None:
            parts.append(match[0].strip(" \t"))
            position = match.end()
        if position < len(value):
            if value[position] != ",":
                raise SipError(400, "Unbalanced Quotes or Brackets")
            position += 1
    if len(parts) > MAX_LIST:
        raise SipError(400, "Too Many Values in a Header")
    return [part for part in parts if part]


def parse_params(text: str) -> Params:
    """`;name=value;flag` with optional white space and quoted values. Raises SipError(400)."""
    params: list[tuple[str, str | None]] = []
    position = 0
    while position < len(text):
        match = _PARAM.match(text, position)
        if match is None:
            raise SipError(400, "Bad Header Parameter")
        params.append((match[1].lower(), match[2]))
        position = match.end()
    return tuple(params)


def unquote(text: str) -> str:
    """A quoted-string's content; anything else as it is."""
    if text.startswith('"') and text.endswith('"') and len(text) >= 2:
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.S)
    return text


def format_params(params: Params) -> str:
    """The opposite of `parse_params`."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params])


def find_param(params: Params, name: str) -> str | None:
    """A parameter's value, unquoted; None when absent, "" when it has no value."""
    for key, value in params:
        if key == name:
            return value if value and value[0] != '"' else unquote(value or "")
    return None


class NameAddr(NamedTuple):
    """From, To, Contact, Route, Record-Route, Path: display name, URI, header parameters (§20.10).

    `display` is as written (quotes included), "" without one.
    """

    display: str
    uri_text: str
    params: Params = ()

    @property
    def uri(self) -> Uri:
        """The URI taken apart. Raises SipError(400)."""
        return parse_uri(self.uri_text)

    @property
    def tag(self) -> str | None:
        """The tag parameter (§19.3)."""
        return find_param(self.params, "tag")

    def param(self, name: str) -> str | None:
        """A header parameter, as `find_param` gives it."""
        return find_param(self.params, name)

    def __str__(self) -> str:
        display = f"{self.display} " if self.display else ""
        return f"{display}<{self.uri_text}>{format_params(self.params)}"


def parse_name_addr(text: str) -> NameAddr:
    """Read a name-addr or addr-spec with parameters. Raises SipError(400)."""
    usual = _USUAL_NAME_ADDR.match(text)
    if usual is not None:
        uri, tag = usual.groups()
        return _checked(NameAddr("", uri, (("tag", tag),) if tag else ()))
    text = text.strip(" \t")
    start = _display_end(text)
    if start < 0:
        # §20.10: without brackets everything behind a semicolon belongs to the header.
        uri, semicolon, params = text.partition(";")
        return _checked(NameAddr("", uri.rstrip(), parse_params(semicolon + params)))
    end = text.find(">", start)
    if end < 0:
        raise SipError(400, "Bad Address Header")
    display, uri = text[:start].rstrip(), text[start + 1 : end].strip()
    return _checked(NameAddr(display, uri, parse_params(text[end + 1 :])))


@lru_cache(maxsize=4096)
def parse_again(text: str) -> NameAddr:
    """The same, for a text that comes often."""
    return parse_name_addr(text)


def _display_end(text: str) -> int:
    """Where the opening bracket of a name-addr is, -1 for an addr-spec. Raises SipError(400)."""
    if not text.startswith('"'):
        start = text.find("<")
        if start > 0 and ";" in text[:start]:
            return -1  # it stands in a header parameter
        if start > 0 and not _DISPLAY.match(text, 0, start):
            raise SipError(400, "Bad Display Name")
        return start
    quoted = _QUOTED_STRING.match(text)
    start = text.find("<", quoted.end()) if quoted else -1
    if quoted is None or start < 0 or text[quoted.end() : start].strip():
        raise SipError(400, "Bad Display Name")
    return start


def _checked(value: NameAddr) -> NameAddr:
    parse_uri(value.uri_text)
    return value


class Via(NamedTuple):
    """One Via value (§20.42); `transport` in upper case, `host` canonical."""

    transport: str
    host: str
    port: int | None
    params: Params = ()

    @property
    def branch(self) -> str | None:
        """The branch parameter (§8.1.1.7)."""
        return find_param(self.params, "branch")

    @property
    def sent_by(self) -> str:
        """host, with the port where there is one (§20.42)."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def param(self, name: str) -> str | None:
        """A parameter, as `find_param` gives it."""
        return find_param(self.params, name)

    def received_from(self, host: str, port: int | None) -> "Via":
        """A copy that says where it came from; `port` for the rport parameter, None for none (RFC 3581 §4)."""
        params = [param for param in self.params if param[0] not in ("received", "rport")]
        params.append(("received", host))
        if port is not None:
            params.append(("rport", str(port)))
        return Via(self.transport, self.host, self.port, tuple(params))

    def __str__(self) -> str:
        return f"SIP/2.0/{self.transport} {self.sent_by}{format_params(self.params)}"


def parse_via(text: str) -> Via:
    """Read one Via value. Raises SipError(400)."""
    match = _USUAL_VIA.match(text)
    if match is not None:
        transport, host, port, branch, rport = match.groups()
        params: Params = (("branch", branch), ("rport", None)) if rport else (("branch", branch),)
        return Via(transport, host.lower(), int(port) if port else None, params)
    match = _VIA.match(text)
    if match is None:
        raise SipError(400, "Bad Via Header")
    transport, host, port, rest = match.groups()
    if port and int(port) > 65535:
        raise SipError(400, "Bad Port in Via")
    return Via(transport.upper(), canonical_host(host), int(port) if port else None, _via_params(rest))


def _via_params(text: str) -> Params:
    if '"' in text:
        return parse_params(text)
    # An IPv6 address in `received` is beyond the token grammar, so values are not checked here.
    params = tuple((name.strip(" \t"), value and value.strip(" \t")) for name, value in split_params(text))
    if not all(is_token(name) for name, _ in params):
        raise SipError(400, "Bad Via Parameter")
    return params


class CSeq(NamedTuple):
    """Sequence number (below 2**31) and method (§20.16)."""

    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@lru_cache(maxsize=1024)
def parse_cseq(text: str) -> CSeq:
    """Read a CSeq value. Raises SipError(400)."""
    match = _CSEQ.match(text)
    if match is None or int(match[1]) >= 2**31:  # §8.1.1.5: the number MUST be less than 2**31
        raise SipError(400, "Bad CSeq Header")
    return CSeq(int(match[1]), match[2])


class MediaType(NamedTuple):
    """Content-Type's value: type and subtype in lower case, parameters (§20.15)."""

    type: str
    subtype: str
    params: Params = ()

    @property
    def essence(self) -> str:
        """type/subtype without parameters."""
        return f"{self.type}/{self.subtype}"

    def param(self, name: str) -> str | None:
        """A parameter, as `find_param` gives it."""
        return find_param(self.params, name)


@lru_cache(maxsize=1024)
def parse_media_type(text: str) -> MediaType:
    """Read a Content-Type value. Raises SipError(400)."""
    match = _MEDIA.match(text)
    if match is None:
        raise SipError(400, "Bad Content-Type Header")
    return MediaType(match[1].lower(), match[2].lower(), parse_params(match[3]))


def parse_number(text: str, header: str, limit: int = 2**32 - 1) -> int:
    """A decimal number of a header, in seconds or hops; larger than `limit` counts as `limit` (§20.19).

    Raises SipError(400).
    """
    if not text.isascii() or not text.isdigit():
        raise SipError(400, f"Bad {header} Header")
    digits = text.lstrip("0")
    return limit if len(digits) > 10 else min(int(digits or "0"), limit)


def parse_q(text: str) -> float:
    """A qvalue, 0 to 1 (§20.10). Raises SipError(400)."""
    if not _Q.match(text):
        raise SipError(400, "Bad q Value")
    return float(text)


def parse_date(text: str) -> float | None:
    """A SIP-date as Unix time, None when it is not one (§20.17: the zone is GMT)."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
