from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipsilo.sip.errors import SipError
from sipsilo.sip.limits import MAX_BODY, MAX_HEAD, MAX_HEADERS
from sipsilo.sip.message import Request, Response
from sipsilo.sip.parser import parse_message
from tests.sip.growth import grows_linearly
from tests.sip.reading import answer_to, read_everything
from tests.sip.strategies import RawMessage, messages, mutated

START = "MESSAGE sip:bob@example.org SIP/2.0"
HEAD = [
    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
    "From: <sip:alice@example.org>;tag=1",
    "To: <sip:bob@example.org>",
    "Call-ID: 1@192.0.2.1",
    "CSeq: 1 MESSAGE",
]


def datagram(*fields: str, start: str = START, body: bytes = b"Hi", head: list[str] = HEAD) -> bytes:
    text = "\r\n".join([start, *head, *fields, "", ""])
    return text.encode("utf-8", "surrogateescape") + body


def parse_request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def error_of(data: bytes) -> SipError:
    with pytest.raises(SipError) as caught:
        parse_message(data)
    answer_to(caught.value)
    return caught.value


# -- what is not touched is written back as it came


@given(messages())
def test_byte_for_byte(raw: RawMessage) -> None:
    message = parse_message(raw.data)
    assert message.to_bytes() == raw.data
    assert message.body == raw.body
    names = {field.name for field in raw.fields}
    assert [entry[0] for entry in message.fields] == [field.name for field in raw.fields]
    assert {name: message.get_all(name) for name in names} == {name: raw.values(name) for name in names}


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("Subject: Are you there?", "subject", "Are you there?"),
        ("s:Are you there?", "subject", "Are you there?"),
        ("S \t :\t Are you there? \t", "subject", "Are you there?"),
        ("sUbJeCt: a: b", "subject", "a: b"),
        ("Subject:", "subject", ""),
        ("Subject:  \t ", "subject", ""),
        # §7.3.1: any folding means one space
        ("Subject: a\r\n b", "subject", "a b"),
        ("Subject: a \t\r\n \t b \r\n\t\tc", "subject", "a b c"),
        ("Subject:\r\n a", "subject", "a"),
        ("Subject: a\r\n  \r\n b", "subject", "a b"),
        ("Subject: a\r\n ", "subject", "a"),
        ("Subject: a\r\n b: c", "subject", "a b: c"),
        # white space of other scripts is text
        ("Subject: \u00a0a\r\n b\u3000", "subject", "\u00a0a b\u3000"),
        ("Subject: \u5927\u505c\u96fb \U0001f680", "subject", "\u5927\u505c\u96fb \U0001f680"),
        ("Subject: \ufeff\u2028\x85\u200b", "subject", "\ufeff\u2028\x85\u200b"),
        ("Subject: \udcff\udc80\udcc3", "subject", "\udcff\udc80\udcc3"),
        ('Contact: "\\\0\\\x1b" <sip:a@b>', "contact", '"\\\0\\\x1b" <sip:a@b>'),
        ("Route: <sip:a;lr> ,\t<sip:b;lr>,,", "route", "<sip:a;lr> ,\t<sip:b;lr>,,"),
        ("X-!%*_+`'~.: ;;,,;;,;", "x-!%*_+`'~.", ";;,,;;,;"),
    ],
)
def test_header_line(line: str, name: str, value: str) -> None:
    data = datagram(line, "X-Last: 1")
    message = parse_request(data)
    assert message.get(name) == value
    assert message.get("x-last") == "1"
    assert message.to_bytes() == data


def test_octets_that_are_no_utf8() -> None:
    line = b"Subject: " + bytes(range(0x80, 0x100)) + b"\xed\xa0\x80\xc0\x80"
    data = datagram().replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n")
    assert parse_message(data).to_bytes() == data


def test_a_change_leaves_the_other_lines_alone() -> None:
    data = datagram("s :  \xe4\udcff\r\n\tb", "m:<sip:a@b>,<sip:c@d>", "Max-Forwards:70")
    message = parse_request(data)
    message.set("Max-Forwards", "69")
    message.prepend("Via", "SIP/2.0/UDP p")
    expected = data.replace(b"Max-Forwards:70", b"Max-Forwards: 69")
    assert message.to_bytes() == expected.replace(b"\r\nVia:", b"\r\nVia: SIP/2.0/UDP p\r\nVia:", 1)


# -- start lines


@pytest.mark.parametrize(
    ("start", "method", "uri"),
    [
        ("MESSAGE sip:bob@example.org SIP/2.0", "MESSAGE", "sip:bob@example.org"),
        ("RE%47IST%45R sip:a SIP/2.0", "RE%47IST%45R", "sip:a"),
        ("message sip:a SIP/2.0", "message", "sip:a"),
        # the version is of either case (§7.1)
        ("OPTIONS sip:a sip/2.0", "OPTIONS", "sip:a"),
        # the Request-URI is looked at when it is used
        ("OPTIONS <sip:a> SIP/2.0", "OPTIONS", "<sip:a>"),
        ("OPTIONS \u5927 SIP/2.0", "OPTIONS", "\u5927"),
    ],
)
def test_request_line(start: str, method: str, uri: str) -> None:
    data = datagram(start=start)
    message = parse_request(data)
    assert (message.method, message.uri_text) == (method, uri)
    assert message.to_bytes() == data


@pytest.mark.parametrize(
    ("start", "status", "reason", "written"),
    [
        ("SIP/2.0 200 OK", 200, "OK", "SIP/2.0 200 OK"),
        ("SIP/2.0 100 ", 100, "", "SIP/2.0 100 "),
        ("SIP/2.0 404  a  b ", 404, " a  b ", "SIP/2.0 404  a  b "),
        ("SIP/2.0 699 \u5927\udcff", 699, "\u5927\udcff", "SIP/2.0 699 \u5927\udcff"),
        # §7.1: SIP-Version is sent in upper case
        ("sip/2.0 200 OK", 200, "OK", "SIP/2.0 200 OK"),
        # the space before an empty reason phrase is often forgotten
        ("SIP/2.0 200", 200, "", "SIP/2.0 200 "),
    ],
)
def test_status_line(start: str, status: int, reason: str, written: str) -> None:
    message = parse_message(datagram(start=start))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (status, reason)
    assert message.to_bytes() == datagram(start=written)


@pytest.mark.parametrize(
    ("start", "status", "cause", "method"),
    [
        # §7.1: one space between three words; what is a request at heart is answered
        ("MESSAGE  sip:a SIP/2.0", 400, "request-line", "MESSAGE"),
        ("MESSAGE sip:a  SIP/2.0", 400, "request-line", "MESSAGE"),
        ("MESSAGE sip:a SIP/2.0 ", 400, "request-line", "MESSAGE"),
        ("MESSAGE sip:a b SIP/2.0", 400, "request-line", "MESSAGE"),
        ("MESSAGE SIP/2.0", 400, "request-line", "MESSAGE"),
        ("MESSAGE  SIP/2.0", 400, "request-line", "MESSAGE"),
        ("MESSAGE sip:a SIP/7.0", 505, "version", "MESSAGE"),
        ("MESSAGE sip:a SIP/1.0", 505, "version", "MESSAGE"),
        ("MESSAGE sip:a SIP/2.00", 505, "version", "MESSAGE"),
        ("MESSAGE sip:a\0b SIP/2.0", 400, "malformed", "MESSAGE"),
        ("MESSAGE sip:a\\\0b SIP/2.0", 400, "malformed", "MESSAGE"),
        # nothing that could be answered
        ("", 400, "garbage", None),
        ("MESSAGE", 400, "garbage", None),
        ("MESSAGE sip:a", 400, "garbage", None),
        ("MESSAGE sip:a SIP/2", 400, "garbage", None),
        ("MESSAGE sip:a SIP/2.0.0", 400, "garbage", None),
        ("MESSAGE sip:a HTTP/1.1", 400, "garbage", None),
        ("MESSAGE sip:a \u017fIP/2.0", 400, "garbage", None),
        ("MESSAGE sip:a SIP/2.\u0660", 400, "garbage", None),
        (" MESSAGE sip:a SIP/2.0", 400, "garbage", None),
        ("MES/SAGE sip:a SIP/2.0", 400, "garbage", None),
        ("M\xc4SSAGE sip:a SIP/2.0", 400, "garbage", None),
        ("GET / HTTP/1.1", 400, "garbage", None),
        # a bad response is dropped
        ("SIP/2.0 OK", 400, "malformed", None),
        ("SIP/2.0  200 OK", 400, "malformed", None),
        ("SIP/2.0 20 OK", 400, "malformed", None),
        ("SIP/2.0 000 OK", 400, "malformed", None),
        ("SIP/2.0 700 OK", 400, "malformed", None),
        ("SIP/2.0 2000 OK", 400, "malformed", None),
        ("SIP/2.0 200OK", 400, "malformed", None),
        ("SIP/2.0 -200 OK", 400, "malformed", None),
        ("SIP/2.0 2\u06600 OK", 400, "malformed", None),
        ("SIP/3.0 200 OK", 400, "malformed", None),
        ("\u017fip/2.0 200 OK", 400, "garbage", None),
    ],
)
def test_bad_start_line(start: str, status: int, cause: str, method: str | None) -> None:
    error = error_of(datagram(start=start))
    assert (error.status, error.cause) == (status, cause)
    assert (error.request and error.request.method) == method
    if error.request is not None:
        assert error.request.start_line == start
        assert [entry[2] for entry in error.request.fields] == HEAD


# -- header fields


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("no colon", "malformed"),
        ("v", "malformed"),
        (": no name", "malformed"),
        (" : no name", "malformed"),
        ("na me: 1", "malformed"),
        ("na(me): 1", "malformed"),
        ("n\xe4me: 1", "malformed"),
        ("X-Own\u00a0: 1", "malformed"),
        ("X-Own: a\nb", "malformed"),
        ("X-Own: a\rb", "malformed"),
        ("X-Own: a\r\r\n b", "malformed"),
        ("X-Own: a\0b", "malformed"),
        ("X-Own: a\x7fb", "malformed"),
        ("X-Own: a\x0bb", "malformed"),
        ("X-Own: \x1b[2J", "malformed"),
        ('X-Own: "\x1b[2J"', "malformed"),
        # a quoted-pair is one in a quoted string only (§25.1), and a backslash may be the second of a pair
        ("X-Own: \\\x1b[2J", "malformed"),
        ('X-Own: "a" \\\0', "malformed"),
        ('X-Own: "\\\\\0"', "malformed"),
        ('X-Own: "\r\nX-Own: \\\0\r\nX-Own: "', "malformed"),
    ],
)
def test_bad_line(line: str, cause: str) -> None:
    # where " : no name" would be folding, it follows a line that ends
    data = datagram(line) if line[0] != " " else datagram(head=[line, *HEAD])
    error = error_of(data)
    assert (error.status, error.cause) == (400, cause)
    assert error.request is not None
    assert [entry[2] for entry in error.request.fields] == HEAD
    assert error.request.via.branch == "z9hG4bK1"


def test_what_an_answer_needs_is_saved() -> None:
    """Only lines that are whole are taken over into the answer to a bad request."""
    head = ["v : SIP/2.0/UDP 192.0.2.1", "f:<sip:a@b>;tag=1", "T: <sip:c@d>\0", "X-Own: 1", "bad line", "l: 5"]
    error = error_of(datagram(head=head))
    assert error.request is not None
    assert [entry[:2] for entry in error.request.fields] == [
        ("via", "SIP/2.0/UDP 192.0.2.1"),
        ("from", "<sip:a@b>;tag=1"),
        ("content-length", "5"),
    ]


def test_half_a_folded_line_is_not_saved() -> None:
    """An answer with half a Via would not find its way; one without it is not sent."""
    error = error_of(datagram("bad line", head=["v: SIP/2.0/UDP 192.0.2.1\r\n ;branch=z9hG4bK1", *HEAD[1:]]))
    assert error.request is not None
    assert error.request.get("via") in (None, "SIP/2.0/UDP 192.0.2.1 ;branch=z9hG4bK1")


# -- the end of a datagram


@pytest.mark.parametrize("cut", range(1, 5))
def test_truncated_head(cut: int) -> None:
    error = error_of(datagram(body=b"")[:-cut])
    assert (error.status, error.cause, error.request) == (400, "truncated", None)


@pytest.mark.parametrize(
    ("length", "body", "taken"),
    [
        # §18.3: without Content-Length the body ends with the datagram, else what is behind it is discarded
        ([], b"", b""),
        ([], b"a\r\n\r\nb", b"a\r\n\r\nb"),
        (["Content-Length: 0"], b"abc", b""),
        (["l:3"], b"abc", b"abc"),
        (["L : 002"], b"abc", b"ab"),
        (["Content-Length:\r\n 1"], b"\0\xff", b"\0"),
    ],
)
def test_body(length: list[str], body: bytes, taken: bytes) -> None:
    message = parse_message(datagram(*length, body=body))
    assert message.body == taken
    assert message.to_bytes() == datagram(*length, body=taken)


@pytest.mark.parametrize(
    "length", ["3", "9999", "-1", "+2", "2.0", "two", "", "2 2", "0x2", "\u0662", "\xb2", "9" * 50]
)
def test_bad_content_length(length: str) -> None:
    error = error_of(datagram(f"Content-Length: {length}", body=b"Hi"))
    assert (error.status, error.cause) == (400, "content-length")
    assert error.request is not None
    assert error.request.method == "MESSAGE"


# -- limits


def test_largest_head() -> None:
    filling = MAX_HEAD - len(datagram("X-Large: ", body=b"")) + 4
    data = datagram(f"X-Large: {'x' * filling}")
    assert parse_message(data).to_bytes() == data
    error = error_of(datagram(f"X-Large: {'x' * (filling + 1)}"))
    assert (error.status, error.cause, error.request) == (513, "oversized", None)


def test_most_header_fields() -> None:
    data = datagram(*(["X-Own: 1"] * (MAX_HEADERS - len(HEAD))))
    assert len(parse_message(data).fields) == MAX_HEADERS
    error = error_of(datagram(*(["X-Own: 1"] * (MAX_HEADERS - len(HEAD) + 1))))
    assert (error.status, error.cause) == (400, "headers")
    assert error.request is not None
    assert [entry[2] for entry in error.request.fields] == HEAD


def test_largest_body() -> None:
    length = f"Content-Length: {MAX_BODY}"
    assert len(parse_message(datagram(length, body=b"x" * MAX_BODY)).body) == MAX_BODY
    for data in (
        datagram(body=b"x" * (MAX_BODY + 1)),
        datagram(f"Content-Length: {MAX_BODY + 1}"),
        datagram("Content-Length: 9999999999"),
    ):
        error = error_of(data)
        assert (error.status, error.cause) == (413, "oversized")
        assert error.request is not None


# -- hostile input


def parse_anything(data: bytes) -> None:
    """Whatever comes is a message that is written back as it came, or a SipError that can be answered."""
    try:
        message = parse_message(data)
    except SipError as error:
        answer_to(error)
        return
    _, _, rest = message.to_bytes().partition(b"\r\n")
    assert data.partition(b"\r\n")[2].startswith(rest)
    read_everything(message)


@given(st.binary())
def test_random_bytes(data: bytes) -> None:
    parse_anything(data)
    parse_anything(data + b"\r\n\r\n" + data)
    parse_anything(b"MESSAGE sip:a@b SIP/2.0\r\n" + data + b"\r\n\r\n")


@given(mutated(messages()))
@example(datagram("Via: ,", head=HEAD[1:]))
def test_mutated_messages(data: bytes) -> None:
    parse_anything(data)


# What a sender could fill up, and what comes before.
FILLED = {
    "start-line": "",
    "method": "MESSAGE",
    "request-uri": "MESSAGE sip:",
    "reason": "SIP/2.0 200 ",
    "name": f"{START}\r\nX",
    "value": f"{START}\r\nX-Own: ",
    "via": f"{START}\r\nVia: ",
    "sent-by": f"{START}\r\nv: SIP/2.0/UDP a",
    "branch": f"{START}\r\nVia: SIP/2.0/UDP a;branch=",
    "from": f"{START}\r\nFrom: ",
    "display-name": f'{START}\r\nf: "',
    "tag": f'{START}\r\nTo: "a" <sip:a@b>;tag=',
    "contact": f"{START}\r\nContact: <sip:a@b>;q=",
    "media-type": f"{START}\r\nSubject: text/plain;a=",
    "cseq": f"{START}\r\nCSeq: 1 ",
}


def parse_hostile(data: bytes) -> None:
    try:
        message = parse_message(data)
    except SipError as error:
        answer_to(error)
    else:
        read_everything(message)


@pytest.mark.parametrize("place", FILLED)
def test_time_grows_linearly(place: str) -> None:
    def repeated(piece: str, end: str) -> Callable[[int], bytes]:
        return lambda size: f"{FILLED[place]}{piece * (size // len(piece))}{end}\r\n\r\n".encode()

    pieces = [*' \t";,<>\\=:@a1', '\\"', '"a', "<a>,", " ;", ";a=b ", "\r\n ", "\r\n\t;a", "\r\nv:", "\r\nTo: a,"]
    size = (MAX_HEAD - 100) // 16
    # a control character is looked for in quoted strings
    cases = [(piece, "") for piece in pieces] + [(piece, "\0") for piece in pieces if set(piece) & set('"\\')]
    assert [case for case in cases if not grows_linearly(parse_hostile, repeated(*case), size)] == []
