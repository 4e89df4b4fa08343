"""What outlives a restart, and what a graceful stop still does."""

import asyncio
from collections import Counter
from functools import partial

import pytest

from tests.acceptance.agent import Agent, closed_loop, two_agents
from tests.acceptance.server import Server
from tests.acceptance.test_order import SlowReceiver, number_in


def test_bindings_survive_a_restart(server: Server) -> None:
    async def scenario() -> None:
        async with two_agents(server.port) as (alice, bob):
            await bob.register("bob")
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            assert (await alice.message("bob", "hello")).status == 200
            assert [message.text for message in bob.received] == ["hello"]

    asyncio.run(scenario())
    assert server.stored() == 0


def test_stored_messages_survive_a_restart(server: Server) -> None:
    async def scenario() -> None:
        async with two_agents(server.port) as (alice, bob):
            await alice.message("bob", "number 0")
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await bob.register("bob")
            await bob.until_received(1)

    asyncio.run(scenario())
    server.wait_empty()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restart_in_the_middle_of_a_delivery(server: Server, end: str) -> None:
    async def scenario() -> None:
        async with two_agents(server.port) as (alice, bob):
            for number in range(60):
                await alice.message("bob", f"number {number}")
            receiver = SlowReceiver(bob, 0.01)
            await bob.register("bob")
            await bob.until_received(20)
            await asyncio.to_thread(getattr(server, end))
            before = len(bob.received)
            assert before < 60
            await asyncio.to_thread(server.start)
            await bob.until(lambda: number_in(bob.received[-1]) == 59, "the last message")
            await asyncio.to_thread(server.wait_empty)
            numbers = [number_in(message) for message in bob.received]
            if end == "kill" and numbers[before] == numbers[before - 1]:
                del numbers[before]  # it was in flight
            assert numbers == list(range(60))
            assert receiver.early == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_graceful_stop_while_storing_loses_and_repeats_nothing(server: Server, transport: str) -> None:
    answered: dict[str, int] = {}

    async def store(alice: Agent, name: str) -> None:
        answered[name] = (await alice.message_until_taken(f"user-of-{name}", name)).status

    async def scenario() -> None:
        async with await Agent.open(server.port, transport, t1=0.1) as alice:
            closed = asyncio.Event()
            alice.on_closed = closed.set
            jobs = (partial(store, alice, f"{n}") for n in range(2000))
            sender = asyncio.create_task(closed_loop(jobs, 32))
            await alice.until(lambda: len(answered) >= 500, "500 answers")
            server.terminate()
            await asyncio.to_thread(server.stopped)
            if transport == "udp":
                await asyncio.to_thread(server.start)  # retransmissions go on until it is back
                await sender
            else:
                async with asyncio.timeout(5):
                    await closed.wait()
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)

    asyncio.run(scenario())
    assert set(answered.values()) == {202}
    stored = Counter(server.bodies())
    assert set(answered) <= set(stored)
    assert set(stored.values()) == {1}
