"""Stored messages on their way to contacts, over real sockets."""

import asyncio
from pathlib import Path

import pytest

from tests.acceptance.agent import DOMAIN
from tests.acceptance.programs import LOOPBACK, free_port
from tests.routing.home import Home, answering, run_at_home, silent, texts, until
from tests.routing.quick import make_transactions_quick


async def store(home: Home, *bodies: str) -> None:
    alice = await home.phone()
    for body in bodies:
        assert (await alice.message("bob", body, "Subject: greeting")).status == 202


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_stored_messages_come_at_registration(tmp_path: Path, transport: str) -> None:
    async def scenario(home: Home) -> None:
        await store(home, "one", "two", "three")
        bob = await home.phone(transport)
        await home.bind(bob)
        await home.until_stored()
        assert texts(bob.received) == ["one", "two", "three"]
        message = bob.received[0]
        assert message.text.startswith("[Offline message - ")
        assert message.start == f"MESSAGE {bob.contact('bob')} SIP/2.0"
        assert message.header("from").startswith(f"<sip:alice@{DOMAIN}>;tag=")
        assert message.header("to") == f"<sip:bob@{DOMAIN}>"
        assert message.header("subject") == "greeting"
        assert len(message.all("via")) == len(message.all("max-forwards")) == len(message.all("date")) == 1
        for name in ("contact", "record-route", "route", "p-asserted-identity"):
            assert message.all(name) == []
        identities = {each.header("call-id") for each in bob.received}
        tags = {each.header("from").partition("tag=")[2] for each in bob.received}
        assert len(identities) == len(tags) == 3

    run_at_home(tmp_path, scenario)


def test_body_stays_as_it_is_without_add_date(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await store(home, "one")
        bob = await home.phone()
        await home.bind(bob)
        assert [message.text for message in bob.received] == ["one"]

    run_at_home(tmp_path, scenario, add_date=False)


def test_one_message_is_under_way_at_a_time(tmp_path: Path) -> None:
    """RFC 3428 §8."""

    async def scenario(home: Home) -> None:
        await store(home, "one", "two")
        bob = await home.phone()
        silent(bob)
        await bob.register("bob")
        await bob.until_received(1)
        await asyncio.sleep(0.1)
        assert texts(bob.received) == ["one"]
        answering(bob, 200)
        bob.reply(bob.received[0], 200)
        await home.until_stored()
        assert texts(bob.received) == ["one", "two"]

    run_at_home(tmp_path, scenario)


def test_refresh_during_a_delivery_repeats_nothing(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await store(home, "one", "two")
        bob = await home.phone()
        silent(bob)
        await bob.register("bob")
        await bob.until_received(1)
        for _ in range(3):
            await bob.register("bob")
        answering(bob, 200)
        bob.reply(bob.received[0], 200)
        await home.until_stored()
        await asyncio.sleep(0.05)
        assert texts(bob.received) == ["one", "two"]

    run_at_home(tmp_path, scenario)


def test_refresh_during_the_back_off_does_nothing_and_a_new_binding_tries_at_once(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await store(home, "one", "two")
        bob = await home.phone()
        answering(bob, 480)
        await home.bind(bob, call_id="phone")
        answering(bob, 200)
        await home.bind(bob, call_id="phone")
        assert texts(bob.received) == ["one"]
        await home.bind(bob, call_id="phone, restarted")
        await home.until_stored()
        assert texts(bob.received) == ["one", "one", "two"]
        # a phone that has refused it must not take it for a retransmission
        first, second, _ = bob.received
        assert first.header("call-id") != second.header("call-id")

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize("headers", [["Expires: 0"], ["Contact: *", "Expires: 0"]])
def test_nothing_is_sent_to_who_goes_away(tmp_path: Path, headers: list[str]) -> None:
    async def scenario(home: Home) -> None:
        bob = await home.phone()
        await home.bind(bob)
        alice = await home.phone()
        answering(bob, 480)
        assert (await alice.message("bob", "one")).status == 202
        bob.received.clear()
        lines = headers if "Contact: *" in headers else [f"Contact: <{bob.contact('bob')}>", *headers]
        answer = await bob.request("REGISTER", f"sip:{DOMAIN}", "bob", "bob", lines)
        assert (answer.status, answer.final.all("contact")) == (200, [])
        await asyncio.sleep(0.05)
        assert (bob.received, home.bodies) == ([], ["one"])

    run_at_home(tmp_path, scenario)


def test_query_delivers_nothing(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        alice, bob = await home.phone(), await home.phone()
        await home.bind(bob)
        answering(bob, 480)
        assert (await alice.message("bob", "one")).status == 202
        answer = await bob.request("REGISTER", f"sip:{DOMAIN}", "bob", "bob")
        assert answer.final.header("contact").startswith(f"<{bob.contact('bob')}>;expires=")
        await asyncio.sleep(0.05)
        assert len(bob.received) == 1

    run_at_home(tmp_path, scenario)


def test_message_goes_to_the_newest_contact_that_takes_messages(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await store(home, "one")
        old, new, deaf = await home.phone(), await home.phone(), await home.phone()
        await home.bind(deaf, 'Contact: <sip:deaf@127.0.0.1>;methods="INVITE"', "Allow: INVITE")
        assert deaf.received == []
        for phone in (old, new, deaf):
            answering(phone, 200)
        lines = [f"Contact: <{old.contact('bob')}>", f"Contact: <{new.contact('bob')}>"]
        lines.append(f'Contact: <{deaf.contact("bob")};x>;methods="INVITE"')
        assert (await new.request("REGISTER", f"sip:{DOMAIN}", "bob", "bob", lines)).status == 200
        await home.until_stored()
        assert (texts(new.received), old.received, deaf.received) == (["one"], [], [])

    run_at_home(tmp_path, scenario)


@pytest.mark.parametrize(
    "contact",
    [
        "sip:bob@127.0.0.1:{port};transport=tcp",
        "sips:bob@127.0.0.1:{port}",
        f"sip:bob@{'a' * 64}.invalid",
    ],
)
def test_contact_that_cannot_be_reached_does_not_block_another(tmp_path: Path, contact: str) -> None:
    async def scenario(home: Home) -> None:
        await store(home, "one", "two")
        bob = await home.phone()
        lines = [f"Contact: <{bob.contact('bob')}>", f"Contact: <{contact.format(port=free_port())}>"]
        assert (await bob.request("REGISTER", f"sip:{DOMAIN}", "bob", "bob", lines)).status == 200
        await home.until_stored()
        assert texts(bob.received) == ["one", "two"]

    run_at_home(tmp_path, scenario)


def test_silent_contact_is_not_replaced_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have taken the message."""
    # Timer F is 0.64 s then
    make_transactions_quick(monkeypatch)

    async def scenario(home: Home) -> None:
        await store(home, "one")
        old, new = await home.phone(), await home.phone()
        silent(new)
        lines = [f"Contact: <{phone.contact('bob')}>" for phone in (old, new)]
        assert (await new.request("REGISTER", f"sip:{DOMAIN}", "bob", "bob", lines)).status == 200
        await until(lambda: home.query("SELECT last_status FROM silo") == [(408,)], "the end of the attempt")
        assert (texts(new.received), old.received, home.bodies) == (["one"], [], ["one"])

    run_at_home(tmp_path, scenario)


def test_path_is_followed(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await store(home, "one")
        edge = await home.phone()
        path = f"<sip:{LOOPBACK}:{edge.port};lr;token=1>"
        await home.bind(edge, f"Path: {path}", contact="sip:bob@192.0.2.1")
        (message,) = edge.received
        assert (message.start, message.all("route")) == ("MESSAGE sip:bob@192.0.2.1 SIP/2.0", [path])

    run_at_home(tmp_path, scenario)


def test_stored_message_goes_over_the_connection_of_the_registration(tmp_path: Path) -> None:
    """The Contact leads nowhere, as it does behind NAT."""

    async def scenario(home: Home) -> None:
        await store(home, "one")
        bob = await home.phone("tcp")
        await home.bind(bob, contact="sip:bob@192.0.2.1:5060;transport=tcp")
        await home.until_stored()
        assert texts(bob.received) == ["one"]

    run_at_home(tmp_path, scenario)


def test_broken_connection_stops_the_delivery_at_once(tmp_path: Path) -> None:
    """RFC 3261 §17.1.4: nobody waits for Timer F."""

    async def scenario(home: Home) -> None:
        await store(home, "one", "two")
        async with await type(await home.phone()).open(home.tcp, "tcp") as bob:
            silent(bob)
            await bob.register("bob")
            await bob.until_received(1)
        # a new connection is a new binding
        again = await home.phone("tcp")
        await home.bind(again)
        await home.until_stored()
        assert texts(again.received) == ["one", "two"]

    run_at_home(tmp_path, scenario)


def test_delivery_goes_on_after_a_restart(tmp_path: Path) -> None:
    """Bindings and messages are there again, and who is bound need not register anew."""
    ports: list[int] = []

    async def before(home: Home) -> None:
        await store(home, "one", "two")
        bob = await home.phone()
        silent(bob)
        await bob.register("bob")
        await bob.until_received(1)
        ports.append(bob.port)

    async def after(home: Home) -> None:
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        class Phone(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: object) -> None:
                if not arrived.done():
                    arrived.set_result(data)

        transport, _ = await loop.create_datagram_endpoint(Phone, local_addr=(LOOPBACK, ports[0]))
        async with asyncio.timeout(5):
            assert (await arrived).endswith(b"] one")
        transport.close()

    run_at_home(tmp_path, before)
    run_at_home(tmp_path, after)
