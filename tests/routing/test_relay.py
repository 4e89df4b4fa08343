"""Relay, then store (SPEC.md chapter 4), over real sockets."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.agent import DOMAIN, Agent
from tests.acceptance.programs import LOOPBACK, free_port
from tests.acceptance.wire import Sip
from tests.routing.home import RELAY_TIMEOUT, Home, answering, request, run_at_home, silent, texts, until

COMPOSING = "Content-Type: application/im-iscomposing+xml;charset=utf-8"


async def alice_and_bob(home: Home, transport: str = "udp") -> tuple[Agent, Agent]:
    """Two phones, one of them bound to Bob."""
    alice, bob = await home.phone(transport), await home.phone(transport)
    await home.bind(bob)
    return alice, bob


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_message_goes_on_as_a_proxy_sends_it(tmp_path: Path, transport: str) -> None:
    """RFC 3261 §16.6: Request-URI, Max-Forwards and Via change, the rest is as it was."""

    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home, transport)
        headers = [
            "Subject:greeting",
            "x-OWN : 1",
            "Date: Sun, 22 Nov 2026 21:40:11 GMT",
            "P-Asserted-Identity: <sip:a@b>",
        ]
        answer = await alice.message("bob", "Hello, “Bob”", *headers, call_id="one")
        assert answer.status == 200
        (message,) = bob.received
        assert message.start == f"MESSAGE {bob.contact('bob')} SIP/2.0"
        assert message.text == "Hello, “Bob”"
        assert message.header("call-id") == "one"
        assert [message.header(name) for name in ("subject", "x-own", "date")] == ["greeting", "1", headers[2][6:]]
        assert message.header("max-forwards") == "69"
        assert len(message.all("via")) == 2
        assert len(answer.final.all("via")) == 1
        assert home.bodies == []

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize("status", [200, 202, 401, 407, 600, 603, 604, 606])
def test_answer_goes_upstream(tmp_path: Path, status: int) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)
        answering(bob, status, 'WWW-Authenticate: Digest realm="there", nonce="1"', "X-Own: 1")
        answer = await alice.message("bob", "Hi")
        assert answer.status == status
        assert answer.final.header("www-authenticate") == 'Digest realm="there", nonce="1"'
        assert answer.final.header("x-own") == "1"
        assert answer.final.header("to").startswith(f"<sip:bob@{DOMAIN}>;tag=")
        assert home.bodies == []

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize("status", [302, 400, 403, 404, 408, 413, 415, 480, 486, 488, 500, 503, 513])
def test_answer_that_does_not_help_the_sender_becomes_202(tmp_path: Path, status: int) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)
        answering(bob, status)
        assert (await alice.message("bob", "Hi")).status == 202
        # the relay was the first attempt
        assert home.query("SELECT attempts, last_status, next_try > inc_time + 29 FROM silo") == [(1, status, 1)]
        assert len(bob.received) == 1

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_silence_becomes_202_after_the_timeout(tmp_path: Path, transport: str) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home, transport)
        silent(bob)
        answer = await alice.message("bob", "Hi")
        assert answer.status == 202
        assert answer.after >= RELAY_TIMEOUT * 0.9
        assert home.query("SELECT attempts, last_status FROM silo") == [(1, 408)]

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize(("late", "left"), [(200, []), (202, []), (480, ["Hi"]), (603, ["Hi"])])
def test_late_answer(tmp_path: Path, late: int, left: list[str]) -> None:
    """A 2xx takes the row away; else it stays."""

    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)
        silent(bob)
        assert (await alice.message("bob", "Hi")).status == 202
        bob.reply(bob.received[0], late)
        if left:
            await asyncio.sleep(0.1)
        await home.until_stored(*left)

    run_at_home(tmp_path, scenario)


def test_answer_during_the_commit_takes_the_message_away(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)
        silent(bob)
        sending = [asyncio.create_task(alice.message("bob", f"{number}")) for number in range(30)]
        await bob.until_received(30)
        await asyncio.sleep(RELAY_TIMEOUT - 0.05)
        for message in bob.received:
            await asyncio.sleep(0.003)
            bob.reply(message, 200)
        statuses = [(await each).status for each in sending]
        assert set(statuses) <= {200, 202}
        await home.until_stored()

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([200, 486], 200),
        ([486, 200], 200),
        ([603, 200], 200),
        ([486, 603], 603),
        ([401, 486], 401),
        ([486, 503], 202),
        ([0, 200], 200),
        ([0, 603], 603),
        ([0, 480], 202),
        ([0, 0], 202),
    ],
)
def test_fork(tmp_path: Path, statuses: Sequence[int], expected: int) -> None:
    """RFC 3428 §7: one final response; 0 is silence."""

    async def scenario(home: Home) -> None:
        alice = await home.phone()
        phones = [await home.phone() for _ in statuses]
        for phone, status in zip(phones, statuses, strict=True):
            await home.bind(phone)
            if status:
                answering(phone, status)
            else:
                silent(phone)
        assert (await alice.message("bob", "Hi")).status == expected
        assert [texts(phone.received) for phone in phones] == [["Hi"]] * len(phones)
        assert home.bodies == ["Hi"] * (expected == 202)

    run_at_home(tmp_path, scenario)


def test_late_success_of_one_branch_takes_the_message_away(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)
        desk = await home.phone()
        await home.bind(desk)
        answering(bob, 486)
        silent(desk)
        assert (await alice.message("bob", "Hi")).status == 202
        desk.reply(desk.received[0], 200)
        await home.until_stored()

    run_at_home(tmp_path, scenario)


def test_contact_that_takes_no_messages_is_left_out(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await home.phone(), await home.phone()
        await home.bind(bob, "Allow: INVITE, BYE")
        assert (await alice.message("bob", "one")).status == 202
        desk = await home.phone()
        await home.bind(desk, "Allow: INVITE, MESSAGE")
        await home.until_stored()
        assert (await alice.message("bob", "two")).status == 200
        assert (texts(desk.received), bob.received) == (["one", "two"], [])

    run_at_home(tmp_path, scenario)


def test_path_is_followed(tmp_path: Path) -> None:
    """RFC 3327 §5.4: the request goes to the edge proxy, with the Path as Route."""

    async def scenario(home: Home) -> None:
        alice, edge = await home.phone(), await home.phone()
        path = f"<sip:{LOOPBACK}:{edge.port};lr;token=1>, <sip:inner.example.org;lr>"
        await home.bind(edge, f"Path: {path}", contact="sip:bob@192.0.2.1")
        assert (await alice.message("bob", "Hi")).status == 200
        (message,) = edge.received
        assert message.start == "MESSAGE sip:bob@192.0.2.1 SIP/2.0"
        assert ", ".join(message.all("route")) == path

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize(
    "contact",
    [
        "sip:bob@127.0.0.1:{port};transport=tcp",
        "sip:bob@127.0.0.1:{port};transport=tls",
        "sips:bob@127.0.0.1:{port}",
        "tel:+1234",
        "sip:bob@a..b.invalid",
        f"sip:bob@{'a' * 64}.invalid",
        "sip:bob@-.invalid",
        "sip:bob@[::1]:{port}",
        "sip:bob@[fe80::1]:{port}",
        "sip:bob@255.255.255.255:{port}",
        "sip:bob@0.0.0.0:{port}",
    ],
)
def test_contact_that_cannot_be_reached_counts_as_away(tmp_path: Path, contact: str) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await home.phone(), await home.phone()
        await home.bind(bob, contact=contact.format(port=free_port()))
        answer = await alice.message("bob", "Hi")
        assert (answer.status, home.bodies) == (202, ["Hi"])
        # and its owner's other contact is reached all the same
        await home.bind(bob)
        assert (await alice.message("bob", "Ho")).status == 200

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize(("bound", "answer", "expected"), [
    (False, 200, 202),
    (True, 200, 200),
    (True, 480, 480),
    (True, 415, 415),
    (True, 603, 603),
    (True, 503, 480),
    (True, 408, 480),
    (True, 0, 480),
])  # fmt: skip
def test_composing_is_relayed_or_dropped(tmp_path: Path, bound: bool, answer: int, expected: int) -> None:
    """RFC 3994; never stored. RFC 4320: no 408; §16.7 step 6: no 503."""

    async def scenario(home: Home) -> None:
        alice, bob = await home.phone(), await home.phone()
        if bound:
            await home.bind(bob)
        if answer:
            answering(bob, answer)
        else:
            silent(bob)
        assert (await alice.message("bob", "<isComposing/>", COMPOSING)).status == expected
        assert len(bob.received) == bound
        assert home.bodies == []

    run_at_home(tmp_path, scenario)


def test_message_during_a_delivery_queues_behind_it(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await home.phone(), await home.phone()
        for body in ("one", "two"):
            assert (await alice.message("bob", body)).status == 202
        silent(bob)
        await bob.register("bob")
        await bob.until_received(1)
        assert (await alice.message("bob", "three")).status == 202
        answering(bob, 200)
        bob.reply(bob.received[0], 200)
        await home.until_stored()
        assert texts(bob.received) == ["one", "two", "three"]

    run_at_home(tmp_path, scenario)


def test_message_during_a_back_off_is_relayed_at_once(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await home.phone(), await home.phone()
        assert (await alice.message("bob", "one")).status == 202
        answering(bob, 480)
        await home.bind(bob)
        await bob.until_received(1)
        answering(bob, 200)
        assert (await alice.message("bob", "two")).status == 200
        assert (texts(bob.received), home.bodies) == (["one", "two"], ["one"])

    run_at_home(tmp_path, scenario)


def test_message_to_a_bound_contact_is_not_kept_when_it_expires_now(tmp_path: Path) -> None:
    """Expires: 0 is now or never (SPEC.md chapter 1)."""

    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)
        assert (await alice.message("bob", "Hi", "Expires: 0")).status == 200
        answering(bob, 480)
        assert (await alice.message("bob", "Hi", "Expires: 0")).status == 480
        assert home.bodies == []

    run_at_home(tmp_path, scenario)


def test_phone_that_comes_back_gets_a_relayed_message_once(tmp_path: Path) -> None:
    """It was deaf while the message was relayed, and registers anew before the relay's last retransmission."""

    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)
        silent(bob)
        assert (await alice.message("bob", "Hi")).status == 202
        # what it got before never reached its user
        bob.received.clear()
        bob._answered.clear()
        answering(bob, 200)
        await home.bind(bob, call_id="restarted")
        await home.until_stored()
        await asyncio.sleep(0.8)  # the retransmissions of Timer E come at 0.5 and 1.5 s
        assert texts(bob.received) == ["Hi"]

    run_at_home(tmp_path, scenario)


def test_nobody_waits_for_the_database_of_another(tmp_path: Path) -> None:
    """A REGISTER, a relayed and a stored message at once, many times."""

    async def scenario(home: Home) -> None:
        alice, bob = await alice_and_bob(home)

        async def talk(number: int) -> None:
            stored, relayed, registered = await asyncio.gather(
                alice.message(f"user{number}", "Hi"),
                alice.message("bob", "Hi"),
                bob.register(f"other{number}"),
            )
            assert (stored.status, relayed.status, registered.status) == (202, 200, 200)

        await asyncio.gather(*(talk(number) for number in range(50)))
        assert len(home.bodies) == 50
        await until(lambda: len(bob.received) == 50, "50 relayed")

    run_at_home(tmp_path, scenario)


def test_contact_behind_nat_is_reached_where_it_registered_from(tmp_path: Path) -> None:
    """RFC 3581 §1: the Via tells another address than the packet, so the Contact leads nowhere."""

    async def scenario(home: Home) -> None:
        wire, alice = await home.wire(), await home.phone()
        register = request(
            "REGISTER", "Contact: <sip:bob@192.168.1.2:5060>", via="SIP/2.0/UDP 192.168.1.2:5060;rport", body=b""
        )
        assert (await wire.ask(register)).status == 200
        await asyncio.sleep(0.1)
        sending = asyncio.create_task(alice.message("bob", "Hi"))
        message: Sip = await wire.receive()
        assert message.start == "MESSAGE sip:bob@192.168.1.2:5060 SIP/2.0"
        wire.send(message.answer(200, "t"))
        assert (await sending).status == 200

    run_at_home(tmp_path, scenario)
