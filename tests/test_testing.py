"""The server in memory behaves as the real one, and its phones as phones do."""

import pytest

from sipsilo.config import Msilo, Settings
from sipsilo.testing import Phone, TestServer
from tests.loop import run

ALICE, BOB = "sip:alice@example.org", "sip:bob@example.org"


def test_phone_that_comes_and_goes() -> None:
    async def scenario() -> None:
        async with TestServer() as server:
            assert (await server.send(ALICE, BOB, "1")).status == 202
            assert server.stored(BOB) == server.stored() == ["1"]
            bob = await server.register(BOB)
            assert (bob.messages, server.stored()) == (["1"], [])
            assert (await server.send(ALICE, BOB, "2")).status == 200
            assert (await bob.unregister()).status == 200
            assert (await server.send(ALICE, BOB, "3")).status == 202
            await bob.register()
            assert bob.messages == ["1", "2", "3"]

    run(scenario())


@pytest.mark.parametrize("answer", [405, None, 200])
def test_phone_that_takes_nothing_for_a_while(answer: int | None) -> None:
    """It refuses, is silent, or its connection is gone; when it is back on another connection it gets all."""

    async def scenario() -> None:
        async with TestServer() as server:
            bob = await server.register(BOB)
            bob.answer = answer
            if answer == 200:
                bob.disconnect()
            assert (await server.send(ALICE, BOB, "1")).status == 202
            assert (bob.messages, server.stored(BOB)) == ([], ["1"])
            assert len(bob.requests) == (answer != 200)
            bob.answer = 200
            if answer != 200:
                bob.disconnect()
            await bob.register()
            assert (bob.messages, server.stored()) == (["1"], [])

    run(scenario())


def test_connection_that_ends_while_an_answer_is_awaited() -> None:
    async def scenario() -> None:
        async with TestServer() as server:
            bob = await server.register(BOB)

            def hang_up(data: bytes) -> None:
                bob.disconnect()

            bob._flow._take = hang_up
            assert (await server.send(ALICE, BOB, "1")).status == 202

    run(scenario())


def test_phones_send_too() -> None:
    async def scenario() -> None:
        async with TestServer() as server:
            alice, bob = await server.register(ALICE), await server.register(BOB)
            assert (await alice.send(BOB, "Hi")).status == 200
            assert (await bob.send(ALICE, "Hello")).status == 200
            assert (alice.messages, bob.messages) == (["Hello"], ["Hi"])
            assert [request.from_.uri_text for request in bob.requests] == [ALICE]

    run(scenario())


def test_two_phones_of_a_user() -> None:
    async def scenario() -> None:
        async with TestServer() as server:
            phones: list[Phone] = [await server.register(BOB) for _ in range(2)]
            assert (await server.send(ALICE, BOB, "Hi")).status == 200
            assert [phone.messages for phone in phones] == [["Hi"], ["Hi"]]

    run(scenario())


def test_settings() -> None:
    async def scenario() -> None:
        async with TestServer(settings=Settings(msilo=Msilo(add_date=True))) as server:
            await server.send(ALICE, "sip:bob@any.example", "Hi")
            bob = await server.register("sip:bob@any.example")
            assert bob.messages[0].startswith("[Offline message - ")

    run(scenario())


def test_registration_that_is_refused_fails_the_test() -> None:
    async def scenario() -> None:
        async with TestServer() as server:
            with pytest.raises(AssertionError, match=r"404 Not Found to the REGISTER of sip:bob@example\.com"):
                await server.register("sip:bob@example.com")

    run(scenario())


def test_what_does_not_come_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipsilo.testing.PATIENCE", 0.05)

    async def scenario() -> None:
        async with TestServer() as server:
            phone = server.phone(ALICE)
            with pytest.raises(TimeoutError):
                await phone.request("ACK", BOB, BOB)

    run(scenario())
