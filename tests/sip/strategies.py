"""Hypothesis strategies for what RFC 3261 §25.1 allows: texts, and the parts from which they were built."""

import string
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from hypothesis import strategies as st

from sipsilo.sip.headers import MediaType, NameAddr, Via

ALPHANUM = string.ascii_letters + string.digits
UNRESERVED = ALPHANUM + "-_.!~*'()"
TOKEN = ALPHANUM + "-.!%*_+`'~"
USER = UNRESERVED + "&=+$,;?/"
PASSWORD = UNRESERVED + "&=+$,"
PARAM = UNRESERVED + "[]/:&+$"
URI_HEADER = UNRESERVED + "[]/?:+$"

Params = tuple[tuple[str, str | None], ...]


def texts(alphabet: str, min_size: int = 0, max_size: int = 10) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=min_size, max_size=max_size)


# One character each, so that Hypothesis need not draw an escape piece by piece.
_OCTETS = b"\0\t\n\r \"%&+,/:;<=>?@Aaz~\x7f\x80\xc3\xff"
_ESCAPES = {0x100 + octet: f"%{octet:02X}" for octet in _OCTETS} | {
    0x200 + octet: f"%{octet:02x}" for octet in _OCTETS
}


def escapable(alphabet: str, min_size: int = 1) -> st.SearchStrategy[str]:
    """Characters as they are and %HH escapes, also of those that need none."""
    return texts(alphabet + "".join(map(chr, _ESCAPES)), min_size).map(lambda text: text.translate(_ESCAPES))


def any_case(word: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word, word.upper(), word.title(), word.swapcase()])


tokens = texts(TOKEN, 1)
spaces = st.sampled_from(["", " ", "\t", "  ", " \t "])
gaps = st.sampled_from([" ", "\t", "   "])
ports = st.none() | st.integers(1, 65535)

_names = st.tuples(texts(ALPHANUM, 1), st.sampled_from(["", ".org", "-2.Example.COM", "."])).map("".join)
ipv6 = st.integers(0, 2**128 - 1).map(lambda number: str(IPv6Address(number)))
ipv4 = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
hosts = st.one_of(_names, ipv4, ipv6.map("[{}]".format))


# -- URIs


class UriParts(NamedTuple):
    """The parts of a sip, sips, im or pres URI, each as written."""

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    params: Params
    headers: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        userinfo = ""
        if self.user is not None:
            userinfo = self.user + ("" if self.password is None else f":{self.password}") + "@"
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}:{userinfo}{self.host}{port}{_params_text(self.params)}{self._headers_text}"

    @property
    def _headers_text(self) -> str:
        return "?" + self.headers_text if self.headers else ""

    @property
    def headers_text(self) -> str:
        return "&".join(f"{name}={value}" for name, value in self.headers)


def _params_text(params: Params) -> str:
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def unique_names(
    names: st.SearchStrategy[str], values: st.SearchStrategy[str | None]
) -> st.SearchStrategy[Params]:
    """§19.1.1: a parameter name must not occur more than once."""
    pairs = st.lists(st.tuples(names, values), max_size=3, unique_by=lambda pair: pair[0].lower())
    return pairs.map(tuple)


uri_params = unique_names(
    st.sampled_from(["transport", "user", "LR", "maddr", "x"]) | texts(PARAM, 1, 6),
    st.none() | escapable(PARAM),
)


@st.composite
def uris(draw: st.DrawFn) -> UriParts:
    user = draw(st.none() | escapable(USER))
    return UriParts(
        scheme=draw(st.sampled_from(["sip", "sips", "SIP", "Sips", "im", "pres"])),
        user=user,
        password=None if user is None else draw(st.none() | escapable(PASSWORD, 0)),
        host=draw(hosts),
        port=draw(ports),
        params=draw(uri_params),
        headers=tuple(
            draw(st.lists(st.tuples(escapable(URI_HEADER), escapable(URI_HEADER, 0)), max_size=2))
        ),
    )


# -- header values: a text with free white space, and the value that it means, a pair each

_quotable = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\') | st.just("\t")
_quoted_pairs = st.characters(max_codepoint=126, min_codepoint=32).map("\\{}".format)
quoted_strings = st.lists(st.text(_quotable, max_size=5) | _quoted_pairs, max_size=4).map(
    lambda parts: '"' + "".join(parts) + '"'
)


@st.composite
def _header_params(draw: st.DrawFn) -> tuple[str, Params]:
    pairs = draw(unique_names(tokens, st.none() | tokens | quoted_strings | hosts))
    text = ""
    for name, value in pairs:
        text += f"{draw(spaces)};{draw(spaces)}{name}"
        if value is not None:
            text += f"{draw(spaces)}={draw(spaces)}{value}"
    return text, tuple((name.lower(), value) for name, value in pairs)


_displays = st.one_of(st.just(""), tokens, st.tuples(tokens, tokens).map(" ".join), quoted_strings)


@st.composite
def name_addrs(draw: st.DrawFn) -> tuple[str, NameAddr]:
    uri = draw(uris()).text
    params_text, params = draw(_header_params())
    if not set(uri) & set(",;?") and draw(st.booleans()):
        return f"{draw(spaces)}{uri}{params_text}", NameAddr("", uri, params)
    display = draw(_displays)
    text = f"{draw(spaces)}{display}{draw(spaces)}<{uri}>{params_text}{draw(spaces)}"
    return text, NameAddr(display, uri, params)


@st.composite
def vias(draw: st.DrawFn) -> tuple[str, Via]:
    transport = draw(st.sampled_from(["UDP", "tcp", "TLS", "ws", "SCTP"]) | tokens)
    host, port = draw(hosts), draw(ports)
    params_text, params = draw(_header_params())
    if draw(st.booleans()):
        received = ("received", draw(ipv6))
        params_text, params = f"{params_text};received={received[1]}", (*params, received)
    slash = [f"{draw(spaces)}/{draw(spaces)}" for _ in range(2)]
    colon = f"{draw(spaces)}:{draw(spaces)}"
    text = f"{draw(spaces)}{draw(any_case('sip'))}{slash[0]}2.0{slash[1]}{transport}{draw(gaps)}{host}"
    text += ("" if port is None else f"{colon}{port}") + params_text + draw(spaces)
    return text, Via(transport.upper(), host.lower(), port, params)


@st.composite
def media_types(draw: st.DrawFn) -> tuple[str, MediaType]:
    main, sub = draw(tokens), draw(tokens)
    params_text, params = draw(_header_params())
    text = f"{draw(spaces)}{main}{draw(spaces)}/{draw(spaces)}{sub}{params_text}{draw(spaces)}"
    return text, MediaType(main.lower(), sub.lower(), params)


# -- messages: bytes, and what was put into them

NAMES = {
    "via": ("Via", "v"),
    "from": ("From", "f"),
    "to": ("To", "t"),
    "call-id": ("Call-ID", "i"),
    "cseq": ("CSeq",),
    "max-forwards": ("Max-Forwards",),
    "contact": ("Contact", "m"),
    "subject": ("Subject", "s"),
    "content-length": ("Content-Length", "l"),
}


class RawField(NamedTuple):
    """One header field: its lower-case long name, its value without folding, its line(s) with CRLF."""

    name: str
    value: str
    line: bytes


class RawMessage(NamedTuple):
    """A message, the way somebody wrote it."""

    start: bytes
    fields: list[RawField]
    body: bytes

    @property
    def data(self) -> bytes:
        return b"".join([self.start, b"\r\n", *[field.line for field in self.fields], b"\r\n", self.body])

    def values(self, name: str) -> list[str]:
        return [field.value for field in self.fields if field.name == name]


# What any line may hold besides control characters: text in UTF-8 and octets that are not.
_octets = st.binary(max_size=4).map(lambda data: bytes(octet | 0x80 for octet in data))
_free_text = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\t"), max_size=8).map(str.encode)
    | _octets
    | st.sampled_from([b"\r\n ", b" \r\n\t ", b"\r\n   \r\n "]),
    max_size=4,
).map(b"".join)
_own_names = st.sampled_from(["X-One", "x-two", "Subject-2", "P!%*_+`'~."])


@st.composite
def fields(draw: st.DrawFn, name: str, value: bytes) -> RawField:
    """A field of that name in any spelling, the value as it is, but with any white space around."""
    spelling = draw(st.sampled_from(NAMES.get(name, (name,))).flatmap(any_case))
    line = spelling.encode() + draw(spaces).encode() + b":" + draw(spaces).encode() + value
    return RawField(name, unfolded(value), line + draw(spaces).encode() + b"\r\n")


def unfolded(value: bytes) -> str:
    """§7.3.1: the lines of a value, one space between them, no white space around."""
    lines = value.decode("utf-8", "surrogateescape").split("\r\n")
    return " ".join(text for line in lines if (text := line.strip(" \t")))


@st.composite
def _head(draw: st.DrawFn, method: str) -> list[RawField]:
    sender = draw(name_addrs())[0]
    target = draw(name_addrs())[0]
    wanted = [
        ("from", sender.strip().encode()),
        ("to", target.strip().encode()),
        ("call-id", draw(tokens).encode()),
        ("cseq", f"{draw(st.integers(0, 2**31 - 1))}{draw(gaps)}{method}".encode()),
    ]
    wanted += [("via", via.strip().encode()) for via, _ in draw(st.lists(vias(), min_size=1, max_size=3))]
    if draw(st.booleans()):
        wanted.append(("max-forwards", b"70"))
    wanted += [("contact", addr.strip().encode()) for addr, _ in draw(st.lists(name_addrs(), max_size=2))]
    wanted += [
        (name.lower(), value)
        for name, value in draw(st.lists(st.tuples(_own_names | st.just("subject"), _free_text), max_size=3))
    ]
    return [draw(fields(name, value)) for name, value in draw(st.permutations(wanted))]


@st.composite
def messages(draw: st.DrawFn, *, length: bool | None = None) -> RawMessage:
    """A request or response; `length` says whether it has a Content-Length, None leaves it to chance."""
    method = draw(st.sampled_from(["MESSAGE", "REGISTER", "OPTIONS"]) | tokens)
    if draw(st.booleans()):
        start = f"{method} {draw(uris()).text} SIP/2.0".encode()
    else:
        reason = draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8))
        start = f"SIP/2.0 {draw(st.integers(100, 699))} {reason}".encode()
    head = draw(_head(method))
    body = draw(st.binary(max_size=40) | st.just(b"\r\n\r\nMESSAGE sip:a@b SIP/2.0\r\n\r\n"))
    if length or (length is None and draw(st.booleans())):
        place = draw(st.integers(0, len(head)))
        head.insert(place, draw(fields("content-length", str(len(body)).encode())))
    return RawMessage(start, head, body)


# -- broken input

NASTY = [
    b"", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\0", b"\x7f", b"\xff", b"\xc3", b'"',
    b"\\", b"<", b">", b",", b";", b"=", b":", b"@", b"?", b"&", b"%", b"%4", b"/", b"[", b"]", b"[::", b"*",
    b"99999999999999999999", b"-1", b"\xc5\xbf", b"\xc4\xb0", b"\xe2\x80\xa8", b"\xd9\xa3", b"\xed\xa0\x80",
    b"\r\nVia: ,\r\n", b"\r\nContent-Length: 4\r\n", b"\r\nTo:\r\n", b"\r\nl:\r\n", b"\r\nCSeq: 1\r\n",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[RawMessage]) -> bytes:
    """A message in which some bytes were put in, taken out, doubled or changed."""
    data = draw(originals).data
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 30)))
        change = draw(st.sampled_from(["put", "double", "move", "random"]))
        if change == "put":
            data = data[:start] + draw(st.sampled_from(NASTY)) + data[end:]
        elif change == "double":
            data = data[:end] + data[start:]
        elif change == "move":
            data = data[:start] + data[end:] + data[start:end]
        else:
            data = data[:start] + draw(st.binary(max_size=6)) + data[end:]
    return data


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces of any size."""
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
