"""Bytes to messages: the head of a message and one whole datagram (RFC 3261 §7, §18.3, §25.1)."""

import re

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import is_token
from sipsilo.sip.limits import MAX_BODY, MAX_HEAD, MAX_HEADERS
from sipsilo.sip.message import ANSWER_HEADERS, Field, Message, Request, Response
from sipsilo.sip.names import KNOWN, canonical_name

_STATUS_LINE = re.compile(r"SIP/([0-9]+\.[0-9]+) ([1-6][0-9][0-9])(?: (.*))?\Z", re.I | re.A)
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+\Z", re.I | re.A)
# Outside of line ends no control character but the tab may stand in a head (§25.1 TEXT-UTF8).
_CONTROL = bytes([*range(9), 11, 12, *range(14, 32), 127])

# A quoted-pair may be of nearly any octet (§25.1; RFC 4475 §3.1.1.2). The closing quote is optional so that an
# unclosed string is passed over in one step, not tried again from each quote in it.
_QUOTED_STRING = re.compile(rb'"(?:[^"\\\r\n' + re.escape(_CONTROL) + rb']|\\[^\r\n]|\r\n[ \t])*("?)')
_SALVAGED = ANSWER_HEADERS | {"content-length"}


def parse_message(data: bytes) -> Request | Response:
    """Read one datagram. What follows the body by Content-Length is discarded (§18.3).

    Raises SipError.
    """
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        raise SipError(400, "Truncated Message", cause="truncated")
    message = parse_head(head)
    try:
        length = content_length(message)
        if length is None:
            length = len(rest)
        if length > MAX_BODY:
            raise SipError(413, "Request Entity Too Large", cause="oversized")
        if length > len(rest):
            raise SipError(400, "Body Shorter Than Content-Length", cause="content-length")
    except SipError as error:
        raise attach(error, message) from None
    message.body = rest if length == len(rest) else rest[:length]
    return message


def parse_head(head: bytes) -> Request | Response:
    """Read start line and header fields, without the empty line that ends them. Raises SipError."""
    if len(head) > MAX_HEAD:
        raise SipError(513, "Message Too Large", cause="oversized")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    try:
        message = _parse_start_line(lines[0])
        try:
            _check_head(head, lines)
            _parse_fields(lines, message.fields)
        except SipError as error:
            raise attach(error, message) from None
    except SipError as error:
        if error.request is not None:
            error.request.fields[:] = _salvage(lines)
        raise
    return message


def _has_control(text: bytes) -> bool:
    # the quickest search for any of a set of bytes
    return len(text.translate(None, _CONTROL)) != len(text)


def _drop_closed(quoted: re.Match[bytes]) -> bytes:
    return b"" if quoted[1] else quoted[0]


def _check_head(head: bytes, lines: list[str]) -> None:
    if len(lines) - 1 > MAX_HEADERS:
        raise SipError(400, "Too Many Header Fields", cause="headers")
    ends = len(lines) - 1
    clean = not _has_control(head) or not _has_control(_QUOTED_STRING.sub(_drop_closed, head))
    if not clean or head.count(b"\n") != ends or head.count(b"\r") != ends:
        raise SipError(400, "Control Character in Header")


def attach(error: SipError, message: Message) -> SipError:
    """Give an error the request that it is about."""
    if error.request is None and isinstance(message, Request):
        error.request = message
    return error


def content_length(message: Message) -> int | None:
    """Content-Length, or None when there is none. Raises SipError(400)."""
    text = message.get("content-length")
    if text is None:
        return None
    conflicting = message.has_repeated and len(set(message.get_all("content-length"))) > 1
    if conflicting or not text.isascii() or not text.isdigit() or len(text) > 10:
        raise SipError(400, "Bad Content-Length", cause="content-length")
    return int(text)


def _parse_start_line(line: str) -> Request | Response:
    if line[:4].upper() == "SIP/" and line[:4].isascii():
        match = _STATUS_LINE.match(line)
        if match is None or match[1] != "2.0":
            raise SipError(400, "Bad Status Line")
        return Response(int(match[2]), match[3] or "", [])
    parts = line.split(" ")
    if len(parts) != 3 or not is_token(parts[0]) or not parts[1]:
        raise _bad_request_line(line)
    method, uri, version = parts
    request = Request(method, uri, [], b"", line)
    if version != "SIP/2.0" and not _VERSION.match(version):
        raise _bad_request_line(line)
    if version.upper() != "SIP/2.0":
        raise SipError(505, "Version Not Supported", cause="version", request=request)
    return request


def _bad_request_line(line: str) -> SipError:
    """A bad Request-Line that is one at heart is answered; garbage is not worth an answer."""
    method, _, rest = line.partition(" ")
    uri, _, version = rest.strip().rpartition(" ")
    if is_token(method) and _VERSION.match(version):
        request = Request(method, uri or "-", [], b"", line)
        return SipError(400, "Bad Request-Line", cause="request-line", request=request)
    return SipError(400, "Not SIP", cause="garbage")


def _parse_fields(lines: list[str], fields: list[Field]) -> None:
    known = KNOWN.get
    add = fields.append
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        key = known(name)
        if key is None:
            if line[:1] in (" ", "\t"):
                _unfold(line, fields)
                continue
            key = _header_name(name)
        if not colon:
            raise SipError(400, "Header Field Without Colon")
        add((key, value.strip(" \t"), line))


def _unfold(line: str, fields: list[Field]) -> None:
    """A folded line continues the value before it, as if it were one space (§7.3.1)."""
    if not fields:
        raise SipError(400, "Folded Line Without a Header")
    name, value, raw = fields[-1]
    more = line.strip(" \t")
    fields[-1] = (name, f"{value} {more}".strip(" \t"), f"{raw}\r\n{line}")


def _header_name(name: str) -> str:
    name = name.rstrip(" \t")  # §7.3.1 HCOLON: white space before the colon
    if not is_token(name):
        raise SipError(400, "Bad Header Name")
    return canonical_name(name)


def _salvage(lines: list[str]) -> list[Field]:
    """The fields that an answer to a bad request is made of (§8.2.6.2), as far as they can be read."""
    fields: list[Field] = []
    for line, following in zip(lines[1:MAX_HEADERS], [*lines[2:], ""], strict=False):
        if following[:1] in (" ", "\t"):
            continue  # folded: half a value would be a wrong one
        name, colon, value = line.partition(":")
        key = canonical_name(name.rstrip(" \t"))
        if colon and key in _SALVAGED and line.isprintable():
            fields.append((key, value.strip(" \t"), line))
    return fields
