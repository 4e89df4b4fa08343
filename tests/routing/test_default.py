"""The built-in route over real sockets: what is answered to whom."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from sipsilo.sip.uri import Aor
from tests.acceptance.agent import DOMAIN, Answer
from tests.acceptance.programs import LOOPBACK
from tests.routing.home import Home, request, run_at_home, silent, until

BOB = f"sip:bob@{DOMAIN}"
PLAIN = "Content-Type: text/plain"


async def ask(
    home: Home, method: str, uri: str, headers: Sequence[str] = (), body: bytes = b"", transport: str = "udp"
) -> Answer:
    """The answer to a request to Bob."""
    phone = await home.phone(transport)
    return await phone.request(method, uri, "alice", "bob", headers, body)


ANSWERS: dict[str, tuple[str, str, list[str], bytes, int]] = {
    "absent": ("MESSAGE", BOB, [PLAIN], b"Hi", 202),
    "absent, with port and parameters": ("MESSAGE", f"{BOB}:5060;x=y", [PLAIN], b"Hi", 202),
    "im": ("MESSAGE", "im:bob@example.org", [PLAIN], b"Hi", 202),
    "empty": ("MESSAGE", BOB, [], b"", 202),
    "any type": ("MESSAGE", BOB, ["Content-Type: image/png"], b"\0\xff", 202),
    "body of no type": ("MESSAGE", BOB, [], b"Hi", 400),
    "body of a bad type": ("MESSAGE", BOB, ["Content-Type: nonsense"], b"Hi", 400),
    "now or never": ("MESSAGE", BOB, [PLAIN, "Expires: 0"], b"Hi", 480),
    "other domain": ("MESSAGE", "sip:bob@example.com", [PLAIN], b"Hi", 404),
    "no user": ("MESSAGE", f"sip:{DOMAIN}", [PLAIN], b"Hi", 404),
    "tel": ("MESSAGE", "tel:+1234", [PLAIN], b"Hi", 404),
    "sips": ("MESSAGE", f"sips:bob@{DOMAIN}", [PLAIN], b"Hi", 416),
    # RFC 4475 §3.3.2
    "unknown scheme": ("MESSAGE", "nobodyKnowsThis:content", [PLAIN], b"Hi", 416),
    "OPTIONS to an unknown scheme": ("OPTIONS", "nobodyKnowsThis:content", [], b"", 416),
    "user too long": ("MESSAGE", f"sip:{'u' * 65}@{DOMAIN}", [PLAIN], b"Hi", 513),
    "type too long": ("MESSAGE", BOB, [f"Content-Type: text/{'x' * 251}"], b"Hi", 513),
    "foreign Route": ("MESSAGE", BOB, [PLAIN, "Route: <sip:edge.example.com;lr>"], b"Hi", 404),
    "bad Route": ("MESSAGE", BOB, [PLAIN, "Route: nonsense"], b"Hi", 400),
    "two types": ("MESSAGE", BOB, [PLAIN, "Content-Type: text/plain"], b"Hi", 400),
    "Proxy-Require": ("MESSAGE", BOB, [PLAIN, "Proxy-Require: telepathy"], b"Hi", 420),
    "Require": ("MESSAGE", BOB, [PLAIN, "Require: telepathy"], b"Hi", 420),
    "OPTIONS": ("OPTIONS", f"sip:{DOMAIN}", [], b"", 200),
    "OPTIONS, Require": ("OPTIONS", f"sip:{DOMAIN}", ["Require: telepathy"], b"", 420),
    "INVITE": ("INVITE", BOB, [], b"", 405),
    "SUBSCRIBE": ("SUBSCRIBE", BOB, [], b"", 405),
    "method of other case": ("message", BOB, [PLAIN], b"Hi", 405),
    "unknown method": ("DANCE", BOB, [], b"", 405),
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_answers(tmp_path: Path, transport: str) -> None:
    async def scenario(home: Home) -> None:
        phone = await home.phone(transport)
        got = {}
        for case, (method, uri, headers, body, _) in ANSWERS.items():
            answer = await phone.request(method, uri, "alice", "bob", headers, body)
            assert not answer.final.body
            assert not answer.final.all("contact")
            got[case] = answer.status
        assert got == {case: row[-1] for case, row in ANSWERS.items()}
        assert home.query("SELECT count(*) FROM silo") == [([*got.values()].count(202),)]

    run_at_home(tmp_path, scenario)


TELLING = [
    ("INVITE", BOB, "X-A: 1", "allow", "REGISTER, MESSAGE, OPTIONS"),
    ("OPTIONS", f"sip:{DOMAIN}", "X-A: 1", "allow", "REGISTER, MESSAGE, OPTIONS"),
    ("OPTIONS", f"sip:{DOMAIN}", "X-A: 1", "accept", "*/*"),
    ("OPTIONS", f"sip:{DOMAIN}", "X-A: 1", "supported", "path"),
    ("MESSAGE", BOB, "Proxy-Require: one, two", "unsupported", "one, two"),
    ("REGISTER", f"sip:{DOMAIN}", "Require: path, gruu", "unsupported", "gruu"),
    ("REGISTER", f"sip:{DOMAIN}", "Contact: <sip:bob@192.0.2.1>;expires=1", "min-expires", "60"),
]


def test_answer_tells_what_is_accepted(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        for method, uri, header, name, value in TELLING:
            assert (await ask(home, method, uri, [header])).final.header(name) == value

    run_at_home(tmp_path, scenario)


REGISTERS: dict[str, tuple[list[str], bytes, int]] = {
    "query": ([], b"", 200),
    "star without Expires": (["Contact: *"], b"", 400),
    "bad contact": (["Contact: nonsense"], b"", 400),
    "too brief": ([f"Contact: <sip:bob@{LOOPBACK}:9>;expires=1"], b"", 423),
    "body": ([PLAIN], b"Hi", 415),
    "unknown extension": (["Require: telepathy"], b"", 420),
    "too many": ([f"Contact: <sip:bob@{LOOPBACK}:{port}>" for port in range(1, 12)], b"", 403),
}


def test_register(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        got = {}
        for case, (headers, body, _) in REGISTERS.items():
            got[case] = (await ask(home, "REGISTER", f"sip:{DOMAIN}", headers, body)).status
        assert got == {case: row[-1] for case, row in REGISTERS.items()}
        assert home.query("SELECT count(*) FROM sipsilo_location") == [(0,)]
        contact = f"Contact: <sip:bob@{LOOPBACK}:9>"
        answer = await ask(home, "REGISTER", f"sip:{DOMAIN}", [contact])
        assert (answer.status, answer.final.header("contact")) == (200, f"<sip:bob@{LOOPBACK}:9>;expires=3600")
        assert home.query("SELECT count(*) FROM sipsilo_location") == [(1,)]

    run_at_home(tmp_path, scenario)


def test_register_of_somebody_else(tmp_path: Path) -> None:
    """§10.3 step 5: "If the address-of-record is not valid for the domain in the Request-URI" 404."""

    async def scenario(home: Home) -> None:
        wire = await home.wire()
        for target in ("sip:bob@example.com", f"sip:{DOMAIN}", "tel:+1234", "isbn:2983792873"):
            message = request(
                "REGISTER",
                "Contact: <sip:bob@192.0.2.1>",
                to=f"<{target}>",
                branch=f"z9hG4bK{target}",
                call_id=target,
                body=b"",
            )
            assert (await wire.ask(message)).status == 404

    run_at_home(tmp_path, scenario)


def test_hops(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        wire = await home.wire()
        assert (await wire.ask(request(hops=0))).status == 483
        assert (await wire.ask(request(hops=1, branch="z9hG4bK-2", call_id="2"))).status == 202
        assert home.bodies == ["Hi"]

    run_at_home(tmp_path, scenario)


def test_own_routes_are_taken_off(tmp_path: Path) -> None:
    """RFC 3261 §16.4."""

    async def scenario(home: Home) -> None:
        routes = [
            f"Route: <sip:{LOOPBACK}:{home.udp};lr>, <sip:{DOMAIN}:{home.tcp};lr>",
            f"Route: <sip:{LOOPBACK}:{home.tcp}>",
        ]
        assert (await (await home.wire()).ask(request("MESSAGE", *routes))).status == 202
        assert home.bodies == ["Hi"]

    run_at_home(tmp_path, scenario)


def test_retransmission_is_answered_again_and_stored_once(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        wire = await home.wire()
        first = await wire.ask(request())
        assert [(await wire.ask(request())) for _ in range(5)] == [first] * 5
        assert (first.status, home.bodies) == (202, ["Hi"])

    run_at_home(tmp_path, scenario)


def test_retransmission_before_the_answer_is_absorbed(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        wire = await home.wire()
        for _ in range(5):
            wire.send(request())
        assert (await wire.receive()).status == 202
        await asyncio.sleep(0.05)
        assert home.bodies == ["Hi"]

    run_at_home(tmp_path, scenario)


def test_request_that_comes_over_two_paths(tmp_path: Path) -> None:
    """§8.2.2.2, and SPEC.md chapter 6: merged "only with an equal Request-URI"."""

    async def scenario(home: Home) -> None:
        wire = await home.wire()
        assert (await wire.ask(request())).status == 202
        assert (await wire.ask(request(branch="z9hG4bK-2"))).status == 482
        assert (await wire.ask(request(branch="z9hG4bK-3", uri=f"sip:carol@{DOMAIN}"))).status == 202
        assert (await wire.ask(request(branch="z9hG4bK-4", call_id="2"))).status == 202
        assert home.query("SELECT username FROM silo ORDER BY mid") == [("bob",), ("carol",), ("bob",)]

    run_at_home(tmp_path, scenario)


def test_loop_through_the_server_ends(tmp_path: Path) -> None:
    """Bob's contact is the server itself."""

    async def scenario(home: Home) -> None:
        wire = await home.wire()
        via = f"SIP/2.0/UDP {LOOPBACK}:{wire.port}"
        contact = f"Contact: <sip:bob@{LOOPBACK}:{home.udp}>"
        register = request("REGISTER", contact, to=f"<sip:bob@{LOOPBACK}>", via=via, body=b"")
        assert (await wire.ask(register)).status == 200
        await until(lambda: not home.silo.is_delivering(Aor("bob", LOOPBACK)), "the end of the delivery")
        phone = await home.phone()
        answer = await phone.request("MESSAGE", f"sip:bob@{LOOPBACK}", "alice", "bob", [PLAIN], b"Hi")
        assert answer.status == 202
        assert home.bodies == ["Hi"]

    run_at_home(tmp_path, scenario, domains=(DOMAIN, LOOPBACK))


@pytest.mark.parametrize(
    ("method", "headers", "table"),
    [("MESSAGE", [PLAIN], "silo"), ("REGISTER", ["Contact: <sip:bob@192.0.2.1>"], "sipsilo_location")],
)
def test_database_that_is_down(tmp_path: Path, method: str, headers: Sequence[str], table: str) -> None:
    async def scenario(home: Home) -> None:
        home.query(f"ALTER TABLE {table} RENAME TO elsewhere")
        uri = BOB if method == "MESSAGE" else f"sip:{DOMAIN}"
        answer = await ask(home, method, uri, headers)
        assert answer.status == 503
        assert int(answer.final.header("retry-after")) > 0
        # and the next one is served
        home.query(f"ALTER TABLE elsewhere RENAME TO {table}")
        assert (await ask(home, method, uri, headers)).status < 300

    run_at_home(tmp_path, scenario)


def test_full_queue(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        phone = await home.phone()
        answers = await asyncio.gather(*(phone.message("bob", f"{number}") for number in range(100)))
        refused = [answer for answer in answers if answer.status == 503]
        assert 0 < len(refused) < 100
        assert all(int(answer.final.header("retry-after")) > 0 for answer in refused)
        assert len(home.bodies) == sum(answer.status == 202 for answer in answers) == 100 - len(refused)

    run_at_home(tmp_path, scenario, max_pending_stores=3)


def test_own_message_that_comes_back_is_not_stored(tmp_path: Path) -> None:
    """SPEC.md chapter 4, No circles: 480, and its row stays."""

    async def scenario(home: Home) -> None:
        alice, bob = await home.phone(), await home.phone()
        await alice.message("bob", "Hi")
        silent(bob)
        await bob.register("bob")
        await bob.until_received(1)
        (ours,) = bob.received
        answer = await alice.message("bob", ours.text, call_id=ours.header("call-id"))
        assert answer.status == 480
        bob.reply(ours, 480)
        assert home.bodies == ["Hi"]

    run_at_home(tmp_path, scenario)
