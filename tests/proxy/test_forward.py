"""The request as it goes on (RFC 3261 §16.3, §16.6)."""

import pytest

from sipsilo.proxy.forward import check_forwardable, forwarded, has_hops, loop_mark
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message

HEAD = [
    "MESSAGE sip:bob@example.org SIP/2.0",
    "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-1",
    'from:"Alice"<sip:alice@example.org>;tag=a',
    "To: <sip:bob@example.org>",
    "Call-ID : 1",
    "CSeq: 1 MESSAGE",
]


def request(*headers: str, body: bytes = b"Hi") -> Request:
    lines = [*HEAD, *headers, f"l: {len(body)}", "", ""]
    message = parse_message("\r\n".join(lines).encode() + body)
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("X-A: 1", None),
        ("Proxy-Require: telepathy", 420),
        ("Require: telepathy", None),
    ],
)
def test_check(header: str, status: int | None) -> None:
    if status is None:
        check_forwardable(request(header))
        return
    with pytest.raises(SipError) as caught:
        check_forwardable(request(header))
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("X-A: 1", True),
        ("Max-Forwards: 1", True),
        ("Max-Forwards: 9999999999999", True),
        ("Max-Forwards: 0", False),
        ("Max-Forwards: 00", False),
    ],
)
def test_hops_left(header: str, left: bool) -> None:
    assert has_hops(request(header)) is left


@pytest.mark.parametrize("value", ["-1", "many"])
def test_bad_hops(value: str) -> None:
    with pytest.raises(SipError) as caught:
        has_hops(request(f"Max-Forwards: {value}"))
    assert caught.value.status == 400


def test_all_unsupported_extensions_are_told() -> None:
    with pytest.raises(SipError) as caught:
        check_forwardable(request("Proxy-Require: one, two", "Proxy-Require: three"))
    assert caught.value.headers == (("Unsupported", "one, two, three"),)


@pytest.mark.parametrize(
    ("before", "after"), [(None, "70"), ("70", "69"), ("1", "0"), ("255", "254"), ("300", "254"), ("9" * 12, "254")]
)
def test_a_hop_less(before: str | None, after: str) -> None:
    message = request() if before is None else request(f"Max-Forwards: {before}")
    copy = forwarded(message, "sip:bob@192.0.2.2", ())
    assert copy.get_all("max-forwards") == [after]


def test_what_is_not_changed_goes_on_byte_for_byte() -> None:
    original = request("Subject:x ", "X-OwN : a,\r\n b", "Max-Forwards: 70", body=bytes(range(256)))
    before = original.to_bytes()
    copy = forwarded(original, "sip:bob@192.0.2.2;ob", ())
    expected = before.replace(b"MESSAGE sip:bob@example.org", b"MESSAGE sip:bob@192.0.2.2;ob", 1)
    assert copy.to_bytes() == expected.replace(b"Max-Forwards: 70", b"Max-Forwards: 69")
    # and the request itself is the same as before
    assert original.to_bytes() == before
    assert (original.uri_text, original.get("max-forwards")) == ("sip:bob@example.org", "70")


def test_routes_come_before_those_that_are_there() -> None:
    copy = forwarded(request("Route: <sip:c;lr>"), "sip:bob@192.0.2.2", ("<sip:a;lr>", "<sip:b;lr>"))
    assert copy.values("route") == ["<sip:a;lr>", "<sip:b;lr>", "<sip:c;lr>"]


def via(message: Request, uri: str) -> str:
    """The Via of a copy that this server has sent on for a request."""
    copy = message.copy()
    copy.uri_text = uri
    return f"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx.{loop_mark(copy)}"


def test_loop_is_detected() -> None:
    """§16.3 step 4: the same request has been here, with all that routes it unchanged."""
    first = request()
    with pytest.raises(SipError) as caught:
        check_forwardable(request("Via: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKy", via(first, "sip:bob@example.org")))
    assert caught.value.status == 482


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([via(request(), "sip:other@example.org")], id="spiral: another Request-URI"),
        pytest.param([via(request(), "sip:bob@example.org"), "Route: <sip:a;lr>"], id="another Route"),
        pytest.param(["Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx.0123456789ab"], id="somebody else's mark"),
        pytest.param(["Via: SIP/2.0/UDP 192.0.2.9"], id="no branch"),
    ],
)
def test_spiral_is_none(headers: list[str]) -> None:
    check_forwardable(request(*headers))


def test_loop_is_detected_in_one_line_of_vias() -> None:
    mark = via(request(), "sip:bob@example.org").partition(": ")[2]
    lines = [HEAD[0], f"Via: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKy, {mark}", *HEAD[2:], "", ""]
    message = parse_message("\r\n".join(lines).encode())
    assert isinstance(message, Request)
    with pytest.raises(SipError):
        check_forwardable(message)
