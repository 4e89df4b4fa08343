"""Listening addresses, as a configuration writes them."""

import re

import pytest

from sipsilo.config.listen import Listen, parse_host, parse_listen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp:127.0.0.1:5060", Listen("udp", "127.0.0.1", 5060)),
        ("tcp:127.0.0.1:0", Listen("tcp", "127.0.0.1", 0)),
        ("tcp:[::1]:5060", Listen("tcp", "::1", 5060)),
        ("udp:[0:0::1]:0", Listen("udp", "::1", 0)),
        ("udp:Localhost:5062", Listen("udp", "localhost", 5062)),
        (
            "udp:0.0.0.0:5060;advertise=SIP.example.org:5070",
            Listen("udp", "0.0.0.0", 5060, "sip.example.org", 5070),
        ),
        ("tcp:[::]:5060; advertise=[2001:DB8::1]", Listen("tcp", "::", 5060, "[2001:db8::1]")),
    ],
)
def test_reads(text: str, expected: Listen) -> None:
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("127.0.0.1:5060", "does not begin with udp: or tcp:"),
        ("sctp:127.0.0.1:5060", "does not begin with udp: or tcp:"),
        ("", "does not begin with udp: or tcp:"),
        ("udp:", "'' is no host or host:port"),
        ("udp:127.0.0.1", "has no port"),
        ("udp:127.0.0.1:65536", "'127.0.0.1:65536' is no host or host:port"),
        ("udp:::1:5060", "'::1:5060' is no host or host:port"),
        ("udp:[::zz]:5060", "is no host or host:port"),
        ("udp:bob@127.0.0.1:5060", "is no host or host:port"),
        ("udp:127.0.0.1:5060;advertise=", "'' is no host or host:port"),
        ("udp:127.0.0.1:5060;advertise=a b", "'a b' is no host or host:port"),
        ("udp:127.0.0.1:5060;rport", "unknown option 'rport'"),
        (5060, "5060 is not a text"),
    ],
)
def test_refuses_and_says_why(text: object, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("udp:127.0.0.1:5060", True),
        ("udp:127.9.9.9:5060", True),
        ("tcp:[::1]:5060", True),
        ("tcp:localhost:5060", True),
        ("udp:0.0.0.0:5060", False),
        ("udp:[::]:5060", False),
        ("udp:192.0.2.1:5060", False),
        ("udp:sip.example.org:5060", False),
        ("udp:0.0.0.0:5060;advertise=127.0.0.1", False),
    ],
)
def test_knows_what_only_this_machine_reaches(text: str, loopback: bool) -> None:
    assert parse_listen(text).is_loopback is loopback


@pytest.mark.parametrize("text", ["udp:127.0.0.1:5060", "tcp:[::1]:0"])
def test_writes_the_address_as_it_is_read(text: str) -> None:
    assert str(parse_listen(text)) == text


def test_a_host_is_spelled_as_uris_spell_it() -> None:
    assert parse_host("Example.ORG") == "example.org"
    assert parse_host("[2001:DB8:0::1]") == "[2001:db8::1]"


@pytest.mark.parametrize("text", ["", "a b", "example.org:5060", "sip:example.org", "bob@example.org", 5])
def test_a_host_is_nothing_more(text: object) -> None:
    with pytest.raises(ValueError, match=r"no host|has a port|not a text"):
        parse_host(text)
