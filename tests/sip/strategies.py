"""Hypothesis strategies for what RFC 3261 §25.1 allows: texts, and the parts from which they were built.

All that does not depend on what was drawn before is built once, as building takes longer than drawing.
"""

import string
from ipaddress import IPv4Address, IPv6Address
from itertools import product
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


def texts(alphabet: str, min_size: int = 0, max_size: int = 6) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=min_size, max_size=max_size)


# One character each, so that Hypothesis need not draw an escape piece by piece.
_OCTETS = b'\0\t\n\r "%&+,/:;<=>?@Aaz~\x7f\x80\xc3\xff'
_ESCAPES = {0x100 + octet: f"%{octet:02X}" for octet in _OCTETS} | {0x200 + octet: f"%{octet:02x}" for octet in _OCTETS}


def escapable(alphabet: str, min_size: int = 1) -> st.SearchStrategy[str]:
    """Characters as they are and %HH escapes, also of those that need none."""
    return texts(alphabet + "".join(map(chr, _ESCAPES)), min_size).map(lambda text: text.translate(_ESCAPES))


tokens = texts(TOKEN, 1)
_WHITE = ["", " ", "\t", " \t "]
spaces = st.sampled_from(_WHITE)
# Four at once, as each draw takes its time.
four_spaces = st.sampled_from(list(product(_WHITE, repeat=4)))
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


def unique_names(names: st.SearchStrategy[str], values: st.SearchStrategy[str | None]) -> st.SearchStrategy[Params]:
    """§19.1.1: a parameter name must not occur more than once."""
    pairs = st.lists(st.tuples(names, values), max_size=3, unique_by=lambda pair: pair[0].lower())
    return st.just(()) | pairs.map(tuple)


uri_params = unique_names(
    st.sampled_from(["transport", "user", "LR", "maddr", "x"]) | texts(PARAM, 1, 6),
    st.none() | escapable(PARAM),
)


_uri_headers = st.tuples(escapable(URI_HEADER), escapable(URI_HEADER, 0))
_all_parts = st.builds(
    UriParts,
    scheme=st.sampled_from(["sip", "sips", "SIP", "Sips", "im", "pres"]),
    user=st.none() | escapable(USER),
    password=st.none() | escapable(PASSWORD, 0),
    host=hosts,
    port=ports,
    params=uri_params,
    headers=st.just(()) | st.lists(_uri_headers, max_size=2).map(tuple),
)
uris = _all_parts.map(lambda parts: parts if parts.user else parts._replace(password=None))

# Most of what has a URI in it is about something else.
uri_texts = st.one_of(
    st.sampled_from(["sip:a@b", "sip:h", "sips:a;b=c,d?/@[::1]:5061;lr;x=y?h=v&i=", "tel:+1-2;ext=3", "x:/;?,y"]),
    uris.map(lambda parts: parts.text),
)

# -- header values: a text with free white space, and the value that it means, a pair each

_quotable = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\') | st.just("\t")
_quoted_pairs = st.characters(max_codepoint=126, min_codepoint=32).map("\\{}".format)
quoted_strings = st.lists(st.text(_quotable, max_size=5) | _quoted_pairs, max_size=4).map(
    lambda parts: '"' + "".join(parts) + '"'
)


_params = unique_names(tokens, st.one_of(st.none(), tokens, quoted_strings, hosts))


@st.composite
def _header_params(draw: st.DrawFn) -> tuple[str, Params]:
    pairs = draw(_params)
    text = ""
    for name, value in pairs:
        a, b, c, d = draw(four_spaces)
        text += f"{a};{b}{name}" if value is None else f"{a};{b}{name}{c}={d}{value}"
    return text, tuple((name.lower(), value) for name, value in pairs)


header_params = _header_params()
_displays = st.one_of(st.just(""), tokens, st.tuples(tokens, tokens).map(" ".join), quoted_strings)


@st.composite
def _name_addrs(draw: st.DrawFn) -> tuple[str, NameAddr]:
    uri = draw(uri_texts)
    params_text, params = draw(header_params)
    if not set(uri) & set(",;?") and draw(st.booleans()):
        return f"{uri}{params_text}", NameAddr("", uri, params)
    display = draw(_displays)
    a, b, c, d = draw(four_spaces)
    text = f"{a}{display}{b}<{uri}>{c}{params_text}{d}"
    return text, NameAddr(display, uri, params)


name_addrs = _name_addrs()
_transports = st.sampled_from(["UDP", "tcp", "TLS", "ws", "SCTP"]) | tokens
_received = st.none() | ipv6
_sip = st.sampled_from(["SIP", "sip"])


@st.composite
def _vias(draw: st.DrawFn) -> tuple[str, Via]:
    transport, host, port, received = draw(_transports), draw(hosts), draw(ports), draw(_received)
    params_text, params = draw(header_params)
    if received is not None:
        params_text, params = f"{params_text};received={received}", (*params, ("received", received))
    a, b, c, d = draw(four_spaces)
    protocol = f"{draw(_sip)}{a}/{b}2.0{c}/{d}{transport}"
    a, b, c, d = draw(four_spaces)
    sent_by = host if port is None else f"{host}{b}:{c}{port}"
    text = f"{a}{protocol}{draw(gaps)}{sent_by}{params_text}{d}"
    return text, Via(transport.upper(), host.lower(), port, params)


vias = _vias()


@st.composite
def _media_types(draw: st.DrawFn) -> tuple[str, MediaType]:
    main, sub = draw(tokens), draw(tokens)
    params_text, params = draw(header_params)
    a, b, c, d = draw(four_spaces)
    text = f"{a}{main}{b}/{c}{sub}{params_text}{d}"
    return text, MediaType(main.lower(), sub.lower(), params)


media_types = _media_types()


# -- messages: bytes, and what was put into them. Their values come from a list, as there are many in each


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


def unfolded(value: bytes) -> str:
    """§7.3.1: the lines of a value, one space between them, no white space around."""
    lines = value.decode("utf-8", "surrogateescape").split("\r\n")
    return " ".join(text for line in lines if (text := line.strip(" \t")))


_STARTS = [
    b"MESSAGE sip:bob@example.org SIP/2.0",
    b"REGISTER sip:example.org SIP/2.0",
    b"OPTIONS sip:user;par=u%40example.net@[2001:db8::1]:5070;transport=tcp?a=b SIP/2.0",
    b"RE%47IST%45R tel:+1-201-555-0123 SIP/2.0",
    b"SIP/2.0 200 OK",
    b"SIP/2.0 180 ",
    "SIP/2.0 404 = 2**3 * 5**2 \N{CYRILLIC SMALL LETTER EN}".encode(),
    b"SIP/2.0 699 \xff",
]
_SPELLINGS = {
    "via": [b"Via: ", b"v:", b"VIA \t:\t", b"V  :"],
    "from": [b"From: ", b"f : ", b"fRoM:\r\n "],
    "to": [b"To: ", b"t:", b"TO\t:  "],
    "call-id": [b"Call-ID: ", b"i:", b"CALL-ID :"],
    "cseq": [b"CSeq: ", b"cseq:\r\n\t", b"CSEQ  :  "],
    "max-forwards": [b"Max-Forwards: ", b"MaX-fOrWaRdS:"],
    "contact": [b"Contact: ", b"m:", b"M : "],
    "subject": [b"Subject: ", b"s :", b"S:"],
    "content-length": [b"Content-Length: ", b"l:", b"L\t: ", b"CONTENT-LENGTH:\r\n  "],
    "x-own": [b"X-Own: ", b"x-own\t:", b"X-OWN:\r\n \r\n "],
    "p!%*_+`'~.": [b"P!%*_+`'~.:", b"p!%*_+`'~. : "],
}
_ADDRESSES = [
    b"<sip:alice@example.org>;tag=a73kszlfl",
    b"sip:alice@example.org;tag=1",
    b"sip:user@example.com",
    b'"Alice \\" <, ;\\\\" <sip:alice@example.org;x=1>;tag=a;y="z, <;>"',
    b"token1~` token2'+_<sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>",
    '"J\xfcrgen \u5927\u505c\u96fb"<sips:j%C3%BC@[::1]:5061>'.encode(),
    b'"\xc3(\xff" <tel:+1-201-555-0123> ; tag = 98asjd8',
    b'"folded\r\n  name" \t<sip:alice@example.org>\r\n ;\r\n  tag\t=\r\n\t7',
    b"<http://www.example.com>;tag=3234233",
]
_VALUES = {
    "via": [
        b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1;rport",
        b"SIP  /   2.0\r\n /TCP\r\n    host.example.org   ;\r\n  branch  =   z9hG4bK2",
        b"SIP/2.0/UDP [2001:DB8::9]:5061;received=2001:db8::1;branch=z9hG4bK3",
        b'SIP/2.0/TLS a ,SIP/2.0/UNKNOWN b ; x="c,d", sip/2.0/ws c',
    ],
    "from": _ADDRESSES,
    "to": _ADDRESSES,
    "contact": [*_ADDRESSES, b"*", b"<sip:a@b>;q=0.5 , \r\n sip:c@d;expires=5,,<sip:e@f>"],
    "call-id": [b"a84b4c76e66710@pc33.example.org", b"intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{", b"1"],
    "cseq": [b"1 MESSAGE", b"0009\r\n  REGISTER", b"2147483647\tOPTIONS"],
    "max-forwards": [b"70", b"0", b"0068"],
}
_BODIES = [b"", b"Hi", b"\0\xff\r\n", b"\r\n\r\nMESSAGE sip:a@b SIP/2.0\r\n\r\n"]

# What any line may hold besides control characters: text in UTF-8, octets that are not, folding.
_free_text = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\t"), max_size=8).map(str.encode)
    | st.binary(max_size=3).map(lambda data: bytes(octet | 0x80 for octet in data))
    | st.sampled_from([b"\r\n ", b" \r\n\t ", b"\r\n   \r\n "]),
    max_size=3,
).map(b"".join)


_line_ends = st.sampled_from([b"\r\n", b" \r\n", b"\t\t\r\n"])


def _raw_field(name: str, spelling: bytes, value: bytes, line_end: bytes) -> RawField:
    return RawField(name, unfolded(spelling.partition(b":")[2] + value), spelling + value + line_end)


def _field(name: str, values: st.SearchStrategy[bytes]) -> st.SearchStrategy[RawField]:
    return st.builds(_raw_field, st.just(name), st.sampled_from(_SPELLINGS[name]), values, _line_ends)


_known_fields = {name: _field(name, st.sampled_from(values)) for name, values in _VALUES.items()}
_mandatory_fields = st.tuples(*(_known_fields[name] for name in ("via", "from", "to", "call-id", "cseq")))
_other_fields = st.one_of(
    *(_known_fields[name] for name in ("via", "contact", "max-forwards")),
    *(_field(name, _free_text) for name in ("subject", "x-own", "p!%*_+`'~.")),
)
_more_fields = st.lists(st.tuples(_other_fields, st.integers(0, 9)), max_size=4)
_bodies = st.sampled_from(_BODIES) | st.binary(max_size=30)
_starts = st.sampled_from(_STARTS)
_length_spellings = st.tuples(st.integers(0, 9), st.sampled_from(_SPELLINGS["content-length"]), _line_ends)


@st.composite
def messages(draw: st.DrawFn, *, length: bool | None = None) -> RawMessage:
    """A request or response; `length` says whether it has a Content-Length, None leaves it to chance."""
    head, body = list(draw(_mandatory_fields)), draw(_bodies)
    for field, place in draw(_more_fields):
        head.insert(place, field)
    if length or (length is None and draw(st.booleans())):
        place, spelling, line_end = draw(_length_spellings)
        head.insert(place, _raw_field("content-length", spelling, str(len(body)).encode(), line_end))
    return RawMessage(draw(_starts), head, body)


# -- broken input

NASTY = [
    b"", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\0", b"\x7f", b"\xff", b"\xc3", b'"',
    b"\\", b"<", b">", b",", b";", b"=", b":", b"@", b"?", b"&", b"%", b"%4", b"/", b"[", b"]", b"[::", b"*",
    b"99999999999999999999", b"-1", b"\xc5\xbf", b"\xc4\xb0", b"\xe2\x80\xa8", b"\xd9\xa3", b"\xed\xa0\x80",
    b'"\\\0"', b"\\\0", b"\r\nVia: ,\r\n", b"\r\nContent-Length: 4\r\n", b"\r\nTo:\r\n", b"\r\nl:\r\n",
]  # fmt: skip


_changes = st.tuples(st.sampled_from(["double", "move"]), st.just(b"")) | st.tuples(
    st.just("put"), st.sampled_from(NASTY) | st.binary(max_size=6)
)


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[RawMessage]) -> bytes:
    """A message in which some bytes were put in, taken out, doubled or changed."""
    data = draw(originals).data
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 30)))
        change, new = draw(_changes)
        if change == "put":
            data = data[:start] + new + data[end:]
        elif change == "double":
            data = data[:end] + data[start:]
        else:
            data = data[:start] + data[end:] + data[start:end]
    return data


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces of any size."""
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
