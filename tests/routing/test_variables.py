"""What pseudo-variables hold, over a request in memory."""

from collections.abc import Callable
from typing import Any

import pytest

from sipsilo.endpoint import Incoming
from sipsilo.formats import PLAIN, Variable, parse_variable
from sipsilo.routing.parts import LocalRequest, Reply
from sipsilo.routing.variables import _READERS, Scope, Value, value
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.transaction.server import NonInviteServer
from sipsilo.transaction.timers import TimerValues
from sipsilo.transport.flow import Address, Flow

BODY = "Ich komme später".encode()


class There(Flow):
    """A flow of which only the addresses are asked for."""

    transport = "UDP"
    remote = Address("192.0.2.9", 5061)
    own = Address("192.0.2.1", 5060)
    closed = False

    def send(self, data: bytes) -> None:
        raise AssertionError


def message(uri: str = "sip:bob@example.org;user=phone") -> Request:
    headers = [
        ("From", '"Alice \\"A\\"" <sip:alice@Home.example:5070>;tag=at'),
        ("To", "sip:bob@example.org"),
        ("Call-ID", "one@home"),
        ("CSeq", "7 MESSAGE"),
        ("Contact", "<sip:alice@192.0.2.9>"),
        ("Content-Type", "text/plain;charset=utf-8"),
        ("User-Agent", "Phone/1"),
        ("X-Own", "1"),
        ("X-Own", "2"),
    ]
    return Request.build("MESSAGE", uri, headers, BODY)


def scope(uri: str = "sip:bob@example.org;user=phone") -> Scope:
    request = message(uri)
    transaction = NonInviteServer("key", None, request, TimerValues().schedule(reliable=True), None, 0)
    no_endpoint: Any = None
    return Scope(request, Incoming(no_endpoint, transaction, There()), uri)


READ: list[tuple[str, Value]] = [
    ("$ru", "sip:bob@example.org;user=phone"),
    ("$rU", "bob"),
    ("$rd", "example.org"),
    ("$rp", 5060),
    ("$rm", "MESSAGE"),
    ("$rb", "Ich komme später"),
    ("$rs", None),
    ("$rr", None),
    ("$fu", "sip:alice@Home.example:5070"),
    ("$fU", "alice"),
    ("$fd", "home.example"),
    ("$fn", 'Alice "A"'),
    ("$ft", "at"),
    ("$tu", "sip:bob@example.org"),
    ("$tU", "bob"),
    ("$td", "example.org"),
    ("$tn", None),
    ("$tt", None),
    ("$ci", "one@home"),
    ("$cs", 7),
    ("$ct", "<sip:alice@192.0.2.9>"),
    ("$cT", "text/plain;charset=utf-8"),
    ("$cl", len(BODY)),
    ("$du", None),
    ("$ou", "sip:bob@example.org;user=phone"),
    ("$oU", "bob"),
    ("$od", "example.org"),
    ("$si", "192.0.2.9"),
    ("$sp", 5061),
    ("$Ri", "192.0.2.1"),
    ("$Rp", 5060),
    ("$proto", "udp"),
    ("$ua", "Phone/1"),
    ("$ml", len(message().to_bytes())),
    ("$T_reply_code", None),
    ("$hdr(x-own)", "1"),
    ("$hdr(f)", '"Alice \\"A\\"" <sip:alice@Home.example:5070>;tag=at'),
    ("$hdr(X-Other)", None),
    ("$avp(x)", None),
    ("$var(x)", None),
]


@pytest.mark.parametrize(("name", "held"), READ)
def test_reading(name: str, held: Value) -> None:
    assert scope()[name] == held
    assert value(scope(), parse_variable(name)) == held


def test_every_variable_can_be_read() -> None:
    assert _READERS.keys() == PLAIN
    without_flow = Scope(message(), None, "sip:bob@example.org")
    for name in PLAIN:
        value(scope(), Variable(name))
        value(without_flow, Variable(name))


def test_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_795_000_000.7)
    assert scope()["$Ts"] == 1_795_000_000
    assert isinstance(scope()["$Tf"], str)


def test_body_that_is_no_text() -> None:
    request = Request.build("MESSAGE", "sip:bob@example.org", [], b"\xff\xfe")
    assert Scope(request, None, "sip:bob@example.org")["$rb"] == "��"


@pytest.mark.parametrize(
    ("uri", "variable", "new", "after"),
    [
        ("sip:bob@example.org", "$ru", "sip:carol@example.com", "sip:carol@example.com"),
        ("sip:bob@example.org", "$rU", "carol", "sip:carol@example.org"),
        ("sip:bob:pw@Example.org:5070;x=y?h=1", "$rU", "carol", "sip:carol:pw@example.org:5070;x=y?h=1"),
        ("sip:example.org", "$rU", "carol", "sip:carol@example.org"),
        ("sip:bob@example.org", "$rU", None, "sip:example.org"),
        ("sip:bob@example.org:5070;x=y", "$rd", "example.com", "sip:bob@example.com:5070;x=y"),
        ("im:bob@[2001:DB8:0::1]:5070;x=y", "$rd", "example.com", "im:bob@example.com:5070;x=y"),
        ("sip:[2001:db8::1]", "$rp", "5070", "sip:[2001:db8::1]:5070"),
        ("sip:bob@example.org:5060;x=y", "$rp", 5070, "sip:bob@example.org:5070;x=y"),
        ("sip:bob@example.org:5060;x=y", "$rp", None, "sip:bob@example.org;x=y"),
    ],
)
def test_changing_the_request_uri(uri: str, variable: str, new: Value, after: str) -> None:
    hand = scope(uri)
    hand[variable] = new
    assert (hand["$ru"], hand["$ou"]) == (after, uri)


@pytest.mark.parametrize(
    ("variable", "new", "error"),
    [
        ("$ru", "nonsense", SipError),
        ("$ru", None, SipError),
        ("$rU", "bo b", SipError),
        ("$rp", "high", SipError),
        ("$du", "nonsense", SipError),
        ("$fu", "sip:a@b", ValueError),
        ("$zz", "1", ValueError),
        ("rU", "1", ValueError),
    ],
)
def test_change_that_cannot_be(variable: str, new: Value, error: type[Exception]) -> None:
    hand = scope()
    with pytest.raises(error):
        hand[variable] = new
    assert hand["$ru"] == "sip:bob@example.org;user=phone"


def test_number_has_no_host_to_change() -> None:
    hand = scope("tel:+1234")
    with pytest.raises(ValueError, match=r"tel:\+1234"):
        hand["$rd"] = "example.org"


def test_next_hop() -> None:
    hand = scope()
    hand["$du"] = "sip:192.0.2.7;transport=tcp"
    assert hand["$du"] == hand.next_hop == "sip:192.0.2.7;transport=tcp"
    hand["$du"] = None
    assert hand["$du"] is None


@pytest.mark.parametrize("kind", ["avp", "var"])
def test_own_variables(kind: str) -> None:
    hand = scope()
    hand[f"${kind}(x)"] = "1"
    own: dict[str, Any] = getattr(hand, kind)
    assert own == {"x": "1"}
    own["list"] = [1, 2]
    assert (hand[f"${kind}(x)"], hand[f"${kind}(list)"]) == ("1", "[1, 2]")


def test_format() -> None:
    assert scope().format("*** User $rU is offline! ($avp(x))") == "*** User bob is offline! (<null>)"


def test_headers() -> None:
    hand = scope()
    assert (hand.header("x-OWN"), hand.headers("x-own"), hand.header("i")) == ("1", ["1", "2"], "one@home")
    hand.append_hf("X-Mine", "3")
    assert hand.remove_hf("X-Own") is True
    assert hand.remove_hf("X-Own") is False
    assert (hand.headers("x-mine"), hand.header("x-own")) == (["3"], None)


@pytest.mark.parametrize("name", ["Via", "v", "Call-ID", "cseq", "To", "l", ""])
def test_header_that_is_the_servers(name: str) -> None:
    changes: list[Callable[[], object]] = [lambda: scope().append_hf(name, "1")]
    changes += [lambda: scope().remove_hf(name)] if name else []
    for change in changes:
        with pytest.raises(ValueError, match="header field"):
            change()


@pytest.mark.parametrize("text", ["1\r\nX-Evil: 1", "1\0", "1\n"])
def test_header_of_two_lines(text: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        scope().append_hf("X-A", text)


def test_reply() -> None:
    whole = scope()
    whole["$avp(x)"] = "1"
    response = message().response(486, "Not Now", to_tag="bt", headers=[("X-Own", "3")])
    reply = Reply(response, whole)
    expected = ["MESSAGE", 486, "Not Now", 486, "bt", "3", "1", "sip:bob@example.org;user=phone"]
    names = ["$rm", "$rs", "$rr", "$T_reply_code", "$tt", "$hdr(X-Own)", "$avp(x)", "$ru"]
    assert [reply[name] for name in names] == expected
    reply["$avp(x)"] = "2"
    assert whole["$avp(x)"] == "2"
    with pytest.raises(ValueError, match="onreply"):
        reply["$rU"] = "carol"


def test_local_request() -> None:
    local = LocalRequest(message())
    assert [local[name] for name in ("$rm", "$rU", "$ou", "$si")] == [
        "MESSAGE",
        "bob",
        "sip:bob@example.org;user=phone",
        None,
    ]
    with pytest.raises(ValueError, match="local"):
        local["$ru"] = "sip:carol@example.org"
