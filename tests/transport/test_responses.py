import pytest

from sipsilo.sip.headers import parse_via
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message
from sipsilo.transport.flow import Address, bracketed
from sipsilo.transport.responses import response_address, stamp_via


def request(via: str) -> Request:
    lines = ["MESSAGE sip:bob@example.org SIP/2.0", "To: <sip:bob@example.org>", via, "Call-ID : 1", "", ""]
    message = parse_message("\r\n".join(lines).encode())
    assert isinstance(message, Request)
    return message


SOURCE = Address("192.0.2.9", 4711)
SOURCE6 = Address("2001:db8::9", 4711)


@pytest.mark.parametrize(
    ("via", "source", "stamped", "destination"),
    [
        # RFC 3261 §18.2.1, §18.2.2: sent-by is where it came from, so nothing is written
        ("192.0.2.9:5070;branch=z9hG4bK1", SOURCE, "192.0.2.9:5070;branch=z9hG4bK1", Address("192.0.2.9", 5070)),
        ("192.0.2.9;branch=z9hG4bK1", SOURCE, "192.0.2.9;branch=z9hG4bK1", Address("192.0.2.9", 5060)),
        # it is another address, or a name
        ("10.1.1.1:5070;branch=1", SOURCE, "10.1.1.1:5070;branch=1;received=192.0.2.9", Address("192.0.2.9", 5070)),
        ("10.1.1.1;branch=1", SOURCE, "10.1.1.1;branch=1;received=192.0.2.9", Address("192.0.2.9", 5060)),
        ("pc33.example.org", SOURCE, "pc33.example.org;received=192.0.2.9", Address("192.0.2.9", 5060)),
        # whatever the sender says of itself is replaced
        ("10.1.1.1;received=10.9.9.9", SOURCE, "10.1.1.1;received=192.0.2.9", Address("192.0.2.9", 5060)),
        # RFC 3581 §4: with rport, received is written even when sent-by is right
        ("192.0.2.9:5070;rport", SOURCE, "192.0.2.9:5070;received=192.0.2.9;rport=4711", SOURCE),
        ("10.1.1.1:4540;rport;branch=1", SOURCE, "10.1.1.1:4540;branch=1;received=192.0.2.9;rport=4711", SOURCE),
        ("10.1.1.1;rport=1;received=10.9.9.9", SOURCE, "10.1.1.1;received=192.0.2.9;rport=4711", SOURCE),
        ("10.1.1.1;RPort", SOURCE, "10.1.1.1;received=192.0.2.9;rport=4711", SOURCE),
        # IPv6: in brackets as sent-by, without them in received (§25.1 via-received)
        ("[2001:DB8:0::9]:5070", SOURCE6, None, Address("2001:db8::9", 5070)),
        ("[2001:db8::9]", SOURCE6, None, Address("2001:db8::9", 5060)),
        ("[2001:db8::1]", SOURCE6, "[2001:db8::1];received=2001:db8::9", Address("2001:db8::9", 5060)),
        ("[2001:db8::9];rport", SOURCE6, "[2001:db8::9];received=2001:db8::9;rport=4711", SOURCE6),
        ("host.example.org;rport", SOURCE6, "host.example.org;received=2001:db8::9;rport=4711", SOURCE6),
    ],
)
def test_way_back(via: str, source: Address, stamped: str | None, destination: Address) -> None:
    message = request(f"v: SIP/2.0/UDP {via}")
    before = message.to_bytes()
    stamp_via(message, source)
    if stamped is None or stamped == via:
        assert message.to_bytes() == before
    else:
        line = f"Via: SIP/2.0/UDP {stamped}".encode()
        assert message.to_bytes() == before.replace(f"v: SIP/2.0/UDP {via}".encode(), line)
    assert response_address(message.via, source) == destination
    # the response carries what was stamped
    assert message.response(200).via == message.via == parse_via(message.values("via")[0])


def test_only_the_topmost_via_is_stamped() -> None:
    message = request("Via: SIP/2.0/UDP a;rport , SIP/2.0/UDP  b;rport\r\nVia: SIP/2.0/TCP c;rport")
    stamp_via(message, SOURCE)
    assert message.get_all("via") == [
        "SIP/2.0/UDP a;received=192.0.2.9;rport=4711, SIP/2.0/UDP  b;rport",
        "SIP/2.0/TCP c;rport",
    ]
    assert message.get("via") == message.get_all("via")[0]


def test_stamping_twice_changes_nothing_more() -> None:
    message = request("Via: SIP/2.0/UDP a;rport;branch=1")
    stamp_via(message, SOURCE)
    once = message.to_bytes()
    stamp_via(message, SOURCE)
    assert message.to_bytes() == once


@pytest.mark.parametrize(
    ("host", "text"), [("192.0.2.9", "192.0.2.9"), ("::1", "[::1]"), ("example.org", "example.org")]
)
def test_address_as_it_stands_in_a_uri(host: str, text: str) -> None:
    assert bracketed(host) == text
    assert str(Address(host, 5060)) == f"{text}:5060"
