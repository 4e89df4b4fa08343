"""Delivery is in order, with one pending MESSAGE per recipient (RFC 3428 §8), and exactly once."""

import asyncio
from collections import defaultdict
from functools import partial

import pytest

from tests.acceptance.agent import Agent, closed_loop, two_agents
from tests.acceptance.server import Server
from tests.acceptance.wire import Sip


def number_in(message: Sip) -> int:
    """The number that ends a delivered body."""
    return int(message.text.rsplit(" ", 1)[1])


class SlowReceiver:
    """Answers each MESSAGE after `delay` seconds, and counts those that come while one is unanswered."""

    def __init__(self, agent: Agent, delay: float) -> None:
        self.early = 0
        self._agent = agent
        self._delay = delay
        self._pending = False
        agent.on_message = self._take

    def _take(self, message: Sip) -> None:
        self.early += self._pending
        self._pending = True
        asyncio.get_running_loop().call_later(self._delay, self._answer, message)

    def _answer(self, message: Sip) -> None:
        self._pending = False
        self._agent.reply(message, 200)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_500_messages_to_one_user_come_in_order_one_at_a_time(server: Server, transport: str) -> None:
    async def scenario() -> None:
        async with two_agents(server.port, transport) as (alice, bob):
            receiver = SlowReceiver(bob, 0.002)
            for number in range(500):
                assert (await alice.message("bob", f"number {number}")).status == 202
            assert (await bob.register("bob")).status == 200
            await bob.until_received(500, 30)
            await asyncio.to_thread(server.wait_empty)
            assert [number_in(message) for message in bob.received] == list(range(500))
            assert receiver.early == 0

    asyncio.run(scenario())


def test_10000_messages_to_200_users_come_once_each(server: Server) -> None:
    users = [f"user{number}" for number in range(200)]

    async def store(alice: Agent, user: str, number: int) -> None:
        assert (await alice.message(user, f"number {number}")).status == 202

    async def scenario() -> None:
        async with two_agents(server.port) as (alice, bob):
            await closed_loop((partial(store, alice, user, n) for n in range(50) for user in users), 64)
            await closed_loop((partial(bob.register, user) for user in users), 64)
            await bob.until_received(10_000, 60)
            await asyncio.to_thread(server.wait_empty)
            got = defaultdict(list)
            for message in bob.received:
                got[message.user].append(number_in(message))
            # In order too: what waited together may be stored in any order across users, never within one.
            assert got == {user: list(range(50)) for user in users}

    asyncio.run(scenario())


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_refresh_during_a_delivery_repeats_nothing(server: Server, transport: str) -> None:
    async def scenario() -> None:
        async with two_agents(server.port, transport) as (alice, bob):
            receiver = SlowReceiver(bob, 0.005)
            for number in range(100):
                await alice.message("bob", f"number {number}")
            await bob.register("bob")
            for count in (5, 20, 40, 60, 80):
                await bob.until_received(count)
                assert (await bob.register("bob")).status == 200
            await bob.until_received(100)
            await asyncio.to_thread(server.wait_empty)
            assert [number_in(message) for message in bob.received] == list(range(100))
            assert receiver.early == 0

    asyncio.run(scenario())


def test_a_message_that_comes_during_a_delivery_queues_behind_it(server: Server) -> None:
    async def scenario() -> None:
        async with two_agents(server.port) as (alice, bob):
            receiver = SlowReceiver(bob, 0.01)
            for number in range(20):
                await alice.message("bob", f"number {number}")
            await bob.register("bob")
            await bob.until_received(2)
            assert (await alice.message("bob", "number 20")).status == 202
            await bob.until_received(21)
            await asyncio.to_thread(server.wait_empty)
            assert [number_in(message) for message in bob.received] == list(range(21))
            assert receiver.early == 0

    asyncio.run(scenario())
