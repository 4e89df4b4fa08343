from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import CSeq, NameAddr, Via, parse_via
from sipsilo.sip.limits import MAX_LIST
from sipsilo.sip.message import ANSWER_HEADERS, Message, Request, Response
from sipsilo.sip.names import canonical_name
from sipsilo.sip.parser import parse_message
from sipsilo.sip.status import REASONS
from tests.sip.strategies import RawMessage, messages, tokens

LINES = [
    "MESSAGE sip:bob@example.org SIP/2.0",
    "v: SIP/2.0/TCP  p2.example.org;branch=z9hG4bK2 ,SIP/2.0/UDP\tp1.example.org;branch=z9hG4bK1",
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0",
    'f: "Alice"  <sip:alice@example.org> ;tag=a1',
    "TO:sip:bob@example.org",
    "Call-ID : 1@192.0.2.1",
    "CSeq: 0007 MESSAGE",
    "m: <sip:a@b>,, <sip:c@d>;q=1",
    "X-Own: one",
    "x-own:two",
    "Content-Length: 2",
]


def request(*more: str) -> Request:
    message = parse_message("\r\n".join([*LINES, *more, "", "Hi"]).encode())
    assert isinstance(message, Request)
    return message


def lines(message: Message) -> list[str]:
    head, _, _ = message.to_bytes().partition(b"\r\n\r\n")
    return head.decode().split("\r\n")


def typed(message: Message) -> tuple[Via, NameAddr, NameAddr, CSeq, str, str | None, bool]:
    """All that is read of a message and remembered."""
    return (
        message.via,
        message.from_,
        message.to,
        message.cseq,
        message.call_id,
        message.get("via"),
        message.has_repeated,
    )


# -- reading


def test_reading() -> None:
    message = request()
    assert (message.method, message.uri_text, message.uri.host) == ("MESSAGE", "sip:bob@example.org", "example.org")
    assert message.via == Via("TCP", "p2.example.org", None, (("branch", "z9hG4bK2"),))
    assert message.from_ == NameAddr('"Alice"', "sip:alice@example.org", (("tag", "a1"),))
    assert message.to == NameAddr("", "sip:bob@example.org")
    assert message.cseq == CSeq(7, "MESSAGE")
    assert message.call_id == "1@192.0.2.1"
    assert message.body == b"Hi"


@pytest.mark.parametrize(
    ("name", "first", "fields", "values"),
    [
        ("x-own", "one", ["one", "two"], ["one", "two"]),
        ("contact", "<sip:a@b>,, <sip:c@d>;q=1", ["<sip:a@b>,, <sip:c@d>;q=1"], ["<sip:a@b>", "<sip:c@d>;q=1"]),
        ("subject", None, [], []),
    ],
)
def test_values(name: str, first: str | None, fields: list[str], values: list[str]) -> None:
    message = request()
    assert message.get(name) == first
    assert message.get_all(name) == fields
    assert message.values(name) == values


def test_values_over_several_lines() -> None:
    hosts = [parse_via(value).host for value in request().values("via")]
    assert hosts == ["p2.example.org", "p1.example.org", "192.0.2.1"]


def test_too_many_values_over_several_lines() -> None:
    half = "Route: " + ",".join(["<sip:a@b;lr>"] * (MAX_LIST // 2))
    assert len(request(half, half).values("route")) == MAX_LIST
    with pytest.raises(SipError) as caught:
        request(half, half, "Route: <sip:a@b;lr>").values("route")
    assert caught.value.status == 400


def test_has_repeated() -> None:
    assert request().has_repeated
    assert not Request.build("OPTIONS", "sip:a@b", [("Via", "SIP/2.0/UDP h"), ("To", "sip:a@b")]).has_repeated


READERS: dict[str, Callable[[Message], object]] = {
    "via": lambda message: message.via,
    "from": lambda message: message.from_,
    "to": lambda message: message.to,
    "cseq": lambda message: message.cseq,
    "call-id": lambda message: message.call_id,
}


@pytest.mark.parametrize("name", READERS)
def test_missing_or_empty(name: str) -> None:
    for message in (Request.build("MESSAGE", "sip:a@b"), Request.build("MESSAGE", "sip:a@b", [(name, "")])):
        with pytest.raises(SipError) as caught:
            READERS[name](message)
        assert (caught.value.status, caught.value.reason) == (400, f"Missing {name.title()} Header")


@pytest.mark.parametrize("name", [name for name in READERS if name != "call-id"])
@pytest.mark.parametrize("value", [",", " , ,", '"', "<", ";", "=", "\\", ",x"])
def test_unreadable(name: str, value: str) -> None:
    with pytest.raises(SipError) as caught:
        READERS[name](Request.build("MESSAGE", "sip:a@b", [(name, value)]))
    assert caught.value.status == 400


# -- changing: what is not named stays as it is


def test_add_and_prepend() -> None:
    message = request()
    assert (message.get("subject"), message.via.host) == (None, "p2.example.org")
    message.add("Subject", "new")
    message.prepend("Via", "SIP/2.0/UDP p3.example.org")
    assert lines(message) == [LINES[0], "Via: SIP/2.0/UDP p3.example.org", *LINES[1:], "Subject: new"]
    assert (message.get("subject"), message.via.host) == ("new", "p3.example.org")


def test_push_and_replace_via() -> None:
    message = request()
    assert (message.get("via") or "").startswith("SIP/2.0/TCP  p2")
    message.push_via(Via("UDP", "p3.example.org", 5070))
    assert lines(message) == [LINES[0], "Via: SIP/2.0/UDP p3.example.org:5070", *LINES[1:]]
    assert (message.via.host, message.get("via")) == ("p3.example.org", "SIP/2.0/UDP p3.example.org:5070")
    message.replace_via(message.via.received_from("192.0.2.9", None))
    stamped = "SIP/2.0/UDP p3.example.org:5070;received=192.0.2.9"
    assert lines(message) == [LINES[0], f"Via: {stamped}", *LINES[1:]]
    assert (message.via.param("received"), message.get("via")) == ("192.0.2.9", stamped)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("X-Own", [*LINES[:8], "X-Own: new", LINES[10]]),
        ("Subject", [*LINES, "Subject: new"]),
        ("Contact", [*LINES[:7], "Contact: new", *LINES[8:]]),
        ("m", [*LINES[:7], "m: new", *LINES[8:]]),
    ],
)
def test_set(name: str, expected: list[str]) -> None:
    message = request()
    message.set(name, "new")
    assert lines(message) == expected


def test_remove() -> None:
    message = request()
    message.remove("x-own", "via", "subject")
    assert lines(message) == [LINES[0], *LINES[3:8], LINES[10]]
    with pytest.raises(SipError):
        _ = message.via


@pytest.mark.parametrize(
    ("value", "first"),
    [
        (None, ["Via: SIP/2.0/UDP\tp1.example.org;branch=z9hG4bK1"]),
        ("SIP/2.0/UDP new", ["Via: SIP/2.0/UDP new, SIP/2.0/UDP\tp1.example.org;branch=z9hG4bK1"]),
    ],
)
def test_replace_first(value: str | None, first: list[str]) -> None:
    message = request()
    message.replace_first("Via", value)
    assert lines(message) == [LINES[0], *first, *LINES[2:]]
    assert message.via == parse_via(message.values("via")[0])


def test_replace_the_only_value() -> None:
    message = request()
    message.replace_first("CSeq", "8 MESSAGE")
    message.replace_first("Call-ID", None)
    message.replace_first("Subject", "nothing to replace")
    assert lines(message) == [*LINES[:5], "CSeq: 8 MESSAGE", *LINES[7:]]
    assert message.cseq == CSeq(8, "MESSAGE")


def test_request_uri() -> None:
    message = request()
    assert message.uri.user == "bob"
    message.uri_text = "sip:carol@example.net"
    assert message.uri.user == "carol"
    assert lines(message) == ["MESSAGE sip:carol@example.net SIP/2.0", *LINES[1:]]


def test_a_copy_goes_its_own_way() -> None:
    message = request()
    copy = message.copy()
    copy.prepend("Via", "SIP/2.0/UDP p3.example.org")
    copy.uri_text = "sip:carol@example.net"
    copy.set("Call-ID", "2")
    assert lines(message) == LINES
    assert lines(copy)[:2] == ["MESSAGE sip:carol@example.net SIP/2.0", "Via: SIP/2.0/UDP p3.example.org"]
    assert copy.body == message.body


@pytest.mark.parametrize(("before", "after"), [([], "3"), ([("l", "7")], "7")])
def test_content_length_is_written_where_there_is_none(before: list[tuple[str, str]], after: str) -> None:
    message = Response(200, "OK", [], b"123")
    for name, value in before:
        message.add(name, value)
    message.set_content_length()
    assert message.get_all("content-length") == [after]


CHANGES: list[Callable[[Message], object]] = [
    lambda message: message.add("Via", "SIP/2.0/UDP last"),
    lambda message: message.prepend("Via", "SIP/2.0/UDP first"),
    lambda message: message.set("Via", "SIP/2.0/UDP only"),
    lambda message: message.set("from", "<sip:new@x>;tag=new"),
    lambda message: message.set("t", "<sip:new@x>"),
    lambda message: message.set("Call-ID", "new"),
    lambda message: message.set("CSeq", "1 NEW"),
    lambda message: message.remove("x-own", "contact"),
    lambda message: message.replace_first("Via", "SIP/2.0/UDP replaced"),
    lambda message: message.push_via(Via("TCP", "pushed", None)),
    lambda message: message.replace_via(Via("UDP", "stamped", 1, (("received", "192.0.2.1"),))),
]


@given(messages(), st.lists(st.tuples(st.booleans(), st.sampled_from(CHANGES)), max_size=5))
def test_what_is_remembered_is_what_is_sent(
    raw: RawMessage, changes: list[tuple[bool, Callable[[Message], object]]]
) -> None:
    message = parse_message(raw.data)
    message.set("Content-Length", str(len(message.body)))
    for look, change in changes:
        if look:
            typed(message)
        change(message)
    assert typed(message) == typed(parse_message(message.to_bytes()))


# -- building


@given(messages())
def test_what_is_built_is_read_again(raw: RawMessage) -> None:
    source = parse_message(raw.data)
    names = [("Via", "via"), ("f", "from"), ("TO", "to"), ("Call-ID", "call-id"), ("cseq", "cseq"), ("Own", "x-own")]
    headers = [(name, value) for name, key in names for value in source.get_all(key)]
    built = Request.build("OPTIONS", "sip:example.org", headers, raw.body)
    message = parse_message(built.to_bytes())
    assert isinstance(message, Request)
    assert (message.method, message.uri_text, message.body) == ("OPTIONS", "sip:example.org", raw.body)
    assert [(name, value) for name, value, _ in message.fields[:-1]] == [
        (canonical_name(name), value) for name, value in headers
    ]
    assert message.get("content-length") == str(len(raw.body))
    assert typed(message) == typed(built)
    assert typed(message)[:5] == typed(source)[:5]
    assert message.to_bytes() == built.to_bytes()


# -- responses


@pytest.mark.parametrize(
    ("status", "to_tag", "expected"),
    [
        (100, None, [*LINES[1:7], "Content-Length: 0"]),
        (202, "t1", [*LINES[1:4], "To: sip:bob@example.org;tag=t1", *LINES[5:7], "Content-Length: 0"]),
    ],
)
def test_response(status: int, to_tag: str | None, expected: list[str]) -> None:
    response = request().response(status, to_tag=to_tag)
    assert lines(response) == [f"SIP/2.0 {status} {REASONS[status]}", *expected]
    assert response.to.tag == to_tag
    assert response.body == b""


def test_response_with_more() -> None:
    response = request().response(
        415, "No Thanks", to_tag="t1", headers=[("Accept", "text/plain"), ("Content-Type", "text/html")], body=b"no"
    )
    start, *_, accept, kind, length = lines(response)
    assert start == "SIP/2.0 415 No Thanks"
    assert [accept, kind, length] == ["Accept: text/plain", "Content-Type: text/html", "Content-Length: 2"]
    assert response.to_bytes().endswith(b"\r\n\r\nno")


@pytest.mark.parametrize("to", ["<sip:bob@example.org>;tag=old", '"unreadable', ""])
def test_to_goes_back_as_it_came(to: str) -> None:
    message = Request.build("MESSAGE", "sip:bob@example.org", [("t", to)])
    assert lines(message.response(200, to_tag="new"))[1] == f"t: {to}"


def test_unknown_status() -> None:
    assert lines(request().response(299, to_tag="t1"))[0] == "SIP/2.0 299 Unknown"
    assert lines(request().response(299, "", to_tag="t1"))[0] == "SIP/2.0 299 "


@given(messages(), st.integers(100, 699), tokens)
def test_response_to_any_request(raw: RawMessage, status: int, tag: str) -> None:
    message = parse_message(raw.data)
    if not isinstance(message, Request):
        return
    response = parse_message(message.response(status, to_tag=tag).to_bytes())
    assert isinstance(response, Response)
    taken = [field for field in message.fields if field[0] in ANSWER_HEADERS]
    answered = [field for field in response.fields if field[0] in ANSWER_HEADERS]
    assert [field[2] for field in answered if field[0] != "to"] == [field[2] for field in taken if field[0] != "to"]
    assert (response.via, response.from_, response.cseq) == (message.via, message.from_, message.cseq)
    assert response.to.tag == (message.to.tag if message.to.tag is not None else tag)
    assert response.to.uri_text == message.to.uri_text
