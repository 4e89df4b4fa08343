"""MariaDB and PostgreSQL go away and come back, and serve two nodes; a quota is exact on every database."""

import asyncio
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest

from tests.acceptance.agent import Agent, Answer, closed_loop, two_agents
from tests.acceptance.conftest import SERVERS, StartServer
from tests.acceptance.database import Database, ServerDatabase
from tests.acceptance.server import Server
from tests.acceptance.test_order import SlowReceiver, number_in
from tests.acceptance.wire import Sip
from tests.databases import TestServer

on_servers = pytest.mark.parametrize("database", SERVERS, indirect=True)

PAUSE = 0.02  # seconds between two MESSAGEs of the steady load
PROMPT = {"kill": 3.0, "stop_process": 9.0}
"""Seconds within which a 503 comes: a killed server is known to be gone, one that is stopped has to be waited for."""
RECOVERY = 7.0  # seconds after the database's return until it stores again
MAX_MESSAGES = 100


@dataclass(slots=True)
class Sent:
    """One MESSAGE of the load: when it was sent, and the answer."""

    name: str
    at: float
    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def answered(self) -> float:
        return self.at + self.answer.after


class Load:
    """MESSAGEs at a steady rate, whatever becomes of them, to ten users who are not there."""

    def __init__(self, alice: Agent) -> None:
        self.sent: list[Sent] = []
        self._alice = alice
        self._over = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send until the context ends; then all answers are there."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_all(group))
            yield
            self._over = True

    async def _send_all(self, group: asyncio.TaskGroup) -> None:
        for number in itertools.count():
            if self._over:
                return
            group.create_task(self._send(f"user{number % 10}", f"number {number}"))
            await asyncio.sleep(PAUSE)

    async def _send(self, user: str, name: str) -> None:
        start = time.monotonic()
        self.sent.append(Sent(name, start, await self._alice.message(user, name)))

    def has_stored(self, since: float) -> bool:
        """Whether a message that was sent after a moment has been stored."""
        return any(sent.status == 202 and sent.at > since for sent in self.sent)


def revival(server: TestServer, end: str) -> Callable[[], None]:
    """What undoes `end`."""
    return server.start if end == "kill" else server.continue_process


@pytest.mark.parametrize("end", ["kill", "stop_process"])
@on_servers
def test_nothing_acknowledged_is_lost_while_the_database_is_away(
    database: ServerDatabase, start_server: StartServer, end: str
) -> None:
    server = start_server(database)
    away = 5.0 if end == "kill" else 9.0

    async def scenario() -> None:
        async with await Agent.open(server.port) as alice, await Agent.open(server.port) as phones:
            load = Load(alice)
            async with load.running():
                await asyncio.sleep(1)
                await asyncio.to_thread(getattr(database.server, end))
                gone = time.monotonic()
                await asyncio.sleep(away)
                await asyncio.to_thread(revival(database.server, end))
                back = time.monotonic()
                await alice.until(partial(load.has_stored, back), "a store after the database's return", RECOVERY)
                await asyncio.sleep(1)
            assert {sent.status for sent in load.sent} == {202, 503}
            meanwhile = [sent for sent in load.sent if gone < sent.at and sent.answered < back]
            assert {sent.status for sent in meanwhile} == {503}
            for sent in load.sent:
                if sent.status == 503:
                    assert int(sent.answer.final.header("retry-after")) > 0
                    assert sent.answer.after < PROMPT[end]
            # Once it is known to be away, nobody waits for it.
            late = [sent.answer.after for sent in meanwhile if sent.at > gone + PROMPT[end]]
            assert end == "stop_process" or (late and max(late) < 1)
            await assert_delivered_once(server, phones, load)

    asyncio.run(scenario())


async def assert_delivered_once(server: Server, phones: Agent, load: Load) -> None:
    """All that was acknowledged arrives, in order and once; of the rest, what was written after all."""
    acknowledged = {sent.name for sent in load.sent if sent.status == 202}
    stored = Counter(await asyncio.to_thread(server.bodies))
    assert acknowledged <= set(stored) <= {sent.name for sent in load.sent}
    assert set(stored.values()) == {1}
    await closed_loop((partial(phones.register, f"user{number}") for number in range(10)), 10)
    await asyncio.to_thread(server.wait_empty)
    got = Counter(message.text.split("] ")[-1] for message in phones.received)
    assert got == stored


@pytest.mark.parametrize("end", ["kill", "stop_process"])
@on_servers
def test_a_delivery_goes_on_when_the_database_is_back(
    database: ServerDatabase, start_server: StartServer, end: str
) -> None:
    server = start_server(database)

    async def scenario() -> None:
        async with two_agents(server.port) as (alice, bob):
            for number in range(60):
                assert (await alice.message("bob", f"number {number}")).status == 202
            receiver = SlowReceiver(bob, 0.01)
            await bob.register("bob")
            await bob.until_received(20)
            await asyncio.to_thread(getattr(database.server, end))
            unbound = await alice.register("alice")
            assert unbound.status == 503 and unbound.after < PROMPT[end]
            await asyncio.sleep(1)
            assert len(bob.received) < 60
            await asyncio.to_thread(revival(database.server, end))
            await bob.until(lambda: number_in(bob.received[-1]) == 59, "the last message", 30)
            await asyncio.to_thread(server.wait_empty)
            assert [number_in(message) for message in bob.received] == list(range(60))
            assert receiver.early == 0

    asyncio.run(scenario())


async def store_at_once(servers: list[Server], total: int) -> Counter[int]:
    """Send that many MESSAGEs to one owner, all at once, in turn to each of the servers; how many got which status."""
    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(await Agent.open(server.port, "tcp")) for server in servers]
        turns = itertools.cycle(agents)
        answers = await asyncio.gather(*(next(turns).message("bob", f"number {number}") for number in range(total)))
    return Counter(answer.status for answer in answers)


def test_a_quota_is_exact_under_a_thousand_stores_at_once(database: Database | None, start_server: StartServer) -> None:
    server = start_server(database, msilo={"max_messages": MAX_MESSAGES})
    assert asyncio.run(store_at_once([server], 1000)) == {202: MAX_MESSAGES, 480: 1000 - MAX_MESSAGES}
    assert server.stored("bob") == MAX_MESSAGES


@on_servers
def test_a_quota_is_exact_on_two_nodes(database: ServerDatabase, start_server: StartServer) -> None:
    nodes = [start_server(database, msilo={"max_messages": MAX_MESSAGES}) for _ in range(2)]
    assert asyncio.run(store_at_once(nodes, 1000)) == {202: MAX_MESSAGES, 480: 1000 - MAX_MESSAGES}
    assert nodes[0].stored("bob") == MAX_MESSAGES


@on_servers
def test_two_nodes_never_deliver_a_message_twice(database: ServerDatabase, start_server: StartServer) -> None:
    nodes = [start_server(database) for _ in range(2)]
    users, each = [f"user{number}" for number in range(20)], 30
    got: defaultdict[str, list[int]] = defaultdict(list)

    async def scenario() -> None:
        async with await Agent.open(nodes[0].port) as one, await Agent.open(nodes[1].port) as other:
            senders = itertools.cycle((one, other))
            await closed_loop(
                (partial(next(senders).message, user, f"number {n}") for n in range(each) for user in users), 20
            )
            assert nodes[0].stored() == len(users) * each
            for phone in (one, other):
                phone.on_message = partial(take, phone)
            # Each user has a phone at each node; all come, and come again, at the same time.
            for _ in range(5):
                await asyncio.gather(*(phone.register(user) for user in users for phone in (one, other)))
                await asyncio.sleep(0.1)
            await one.until(lambda: sum(map(len, got.values())) >= len(users) * each, "all messages", 40)
            await asyncio.to_thread(nodes[0].wait_empty)

    def take(phone: Agent, message: Sip) -> None:
        got[message.user].append(number_in(message))
        asyncio.get_running_loop().call_later(0.005, phone.reply, message, 200)

    asyncio.run(scenario())
    for user in users:
        assert sorted(got[user]) == list(range(each))
