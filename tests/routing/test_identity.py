"""Who we are."""

import pytest

from sipsilo.routing.identity import Identity
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor, parse_uri
from sipsilo.transport.flow import Address

LOCAL = Address("192.0.2.1", 5060)
US = Identity(
    ["example.org", "[2001:db8::1]"],
    [LOCAL, Address("192.0.2.1", 5070), Address("2001:db8::1", 5060), Address("sip.example.net", 6060)],
)


@pytest.mark.parametrize(
    ("domains", "host", "served"),
    [
        (["example.org"], "example.org", True),
        (["example.org"], "example.com", False),
        (["example.org"], "sub.example.org", False),
        (["example.org", "localhost"], "localhost", True),
        ([], "whatever.example", True),
    ],
)
def test_users_we_serve(domains: list[str], host: str, served: bool) -> None:
    identity = Identity(domains)
    assert identity.serves(host) is served
    assert identity.owns(Aor("bob", host)) is served
    assert identity.owns(None) is False


@pytest.mark.parametrize(
    ("uri", "own"),
    [
        ("sip:192.0.2.1", True),
        ("sip:192.0.2.1:5060;lr", True),
        ("sip:192.0.2.1:5070;transport=tcp;lr", True),
        ("sip:192.0.2.1:5080;lr", False),
        ("sip:192.0.2.2;lr", False),
        ("sip:[2001:DB8:0::1];lr", True),
        ("sip:[2001:db8::2];lr", False),
        ("sip:sip.example.net:6060;lr", True),
        ("sip:SIP.example.net:6060;lr", True),
        ("sip:sip.example.net;lr", False),
        # a domain of ours at a port of ours
        ("sip:example.org;lr", True),
        ("sip:example.org:5070;lr", True),
        ("sip:example.org:7000;lr", False),
        ("sip:edge.example.org;lr", False),
    ],
)
def test_addresses_of_our_own(uri: str, own: bool) -> None:
    assert US.is_own_address(parse_uri(uri), LOCAL) is own


def test_address_at_which_a_request_came_in_is_our_own() -> None:
    """When we listen on 0.0.0.0."""
    identity = Identity(["example.org"], [Address("0.0.0.0", 5060)])
    assert identity.is_own_address(parse_uri("sip:192.0.2.1;lr"), LOCAL)
    assert not identity.is_own_address(parse_uri("sip:192.0.2.2;lr"), LOCAL)


def test_address_that_is_added() -> None:
    identity = Identity([])
    assert not identity.is_own_address(parse_uri("sip:192.0.2.9"), LOCAL)
    identity.add_address(Address("192.0.2.9", 5060))
    assert identity.is_own_address(parse_uri("sip:192.0.2.9"), LOCAL)


OWN, OWN_TOO, FOREIGN = "<sip:192.0.2.1;lr>", "<sip:example.org:5070;lr>", "<sip:edge.example.com;lr>"


@pytest.mark.parametrize(
    ("routes", "left"),
    [
        ([], []),
        ([OWN], []),
        ([FOREIGN], [FOREIGN]),
        ([OWN, FOREIGN], [FOREIGN]),
        ([f"{OWN}, {FOREIGN}"], [FOREIGN]),
        ([f"{OWN}, {OWN_TOO}", FOREIGN], [FOREIGN]),
        ([f"{OWN},{OWN_TOO}", f"{OWN}"], []),
        # only those at the top
        ([f"{FOREIGN}, {OWN}"], [f"{FOREIGN}, {OWN}"]),
        ([f'"Us, really" {OWN}', FOREIGN], [FOREIGN]),
    ],
)
def test_own_routes_are_taken_off_at_the_top(routes: list[str], left: list[str]) -> None:
    """RFC 3261 §16.4."""
    request = Request.build("MESSAGE", "sip:bob@example.org", [("Route", route) for route in routes])
    US.strip_own_routes(request, LOCAL)
    assert request.get_all("route") == left


def test_bad_route_is_refused() -> None:
    request = Request.build("MESSAGE", "sip:bob@example.org", [("Route", "nonsense")])
    with pytest.raises(SipError) as caught:
        US.strip_own_routes(request, LOCAL)
    assert caught.value.status == 400
