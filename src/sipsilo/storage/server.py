"""A database on a server: a few connections, each with a group at a time; lost ones are made again."""

import asyncio
import random
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable
from typing import Protocol, TypeVar

import structlog

from sipsilo.storage.connection import Connection
from sipsilo.storage.engine import MAX_GROUP, Engine, Job, StorageError, Unavailable, commit, first_line

CONNECT_TIMEOUT = 2.0
GROUP_TIMEOUT = 4.0
"""Seconds after which a server that does not answer is given up: together well inside the senders' Timer F, 32 s."""

IDLE = 2.0
"""Seconds after which a connection is asked whether it is alive before work is entrusted to it."""

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between attempts to connect again: doubling, with jitter, so that nodes do not come all at once."""

Result = TypeVar("Result")

log = structlog.get_logger(__name__)


class Lost(Unavailable):
    """The connection is gone. What was in its transaction is not written, or written without our knowing."""


class ServerConnection(Connection, Protocol):
    """A connection to a server."""

    async def ping(self) -> None:
        """Ask for a sign of life. Raises Lost."""

    async def close(self) -> None:
        """Say goodbye. Never raises."""

    def terminate(self) -> None:
        """Drop it, whatever it is doing."""


class ServerEngine(Engine):
    """Connections to one database, whose tables exist. While none can be made, all is refused at once."""

    def __init__(self, connections: int, max_pending: int = 10_000) -> None:
        super().__init__(max_pending)
        self._size = connections
        self._waiting: deque[Job] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._workers: list[asyncio.Task[None]] = []
        self._down = 0  # workers who could not connect when they last tried
        self._closing = False
        self._trouble = "the database is closed"

    @abstractmethod
    async def _connect(self) -> ServerConnection:
        """A new connection. Raises StorageError."""

    async def open(self) -> None:
        """Connect; from then on connections are made again whenever they are lost. Raises StorageError."""
        first = await self._try_to_connect()
        ready = [first, *[None] * (self._size - 1)]
        self._workers = [asyncio.create_task(self._work(connection)) for connection in ready]

    async def close(self) -> None:
        """Finish all that was submitted, then disconnect."""
        self._closing = True
        self._wake(len(self._idle))
        _, stuck = await asyncio.wait(self._workers, timeout=GROUP_TIMEOUT) if self._workers else (set(), set())
        for worker in stuck:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._refuse_all(StorageError("the database is closed"))

    def _put(self, job: Job) -> None:
        if self._closing or not self._workers:
            raise StorageError("the database is closed")
        if self._down == self._size:
            raise Unavailable(self._trouble)
        self._waiting.append(job)
        self._wake(1)

    def _wake(self, count: int) -> None:
        while count and self._idle:
            sleeper = self._idle.pop()
            if not sleeper.done():
                sleeper.set_result(None)
                count -= 1

    # -- one worker a connection

    async def _work(self, connection: ServerConnection | None) -> None:
        try:
            while not self._closing or self._waiting:
                connection = connection or await self._reconnect()
                if connection is None:
                    return
                try:
                    await self._serve(connection)
                except Lost as error:
                    log.warning("connection to the database lost", error=str(error))
                    connection.terminate()
                    connection = None
            if connection is not None:
                await connection.close()
        except asyncio.CancelledError:
            if connection is not None:
                connection.terminate()
            raise

    async def _serve(self, connection: ServerConnection) -> None:
        """Commit groups until the engine is closed. Raises Lost."""
        loop = asyncio.get_running_loop()
        used = loop.time()
        while True:
            while not self._waiting:
                if self._closing:
                    return
                sleeper = loop.create_future()
                self._idle.append(sleeper)
                await sleeper
            if loop.time() - used > IDLE:
                await _within(CONNECT_TIMEOUT, connection.ping())
            if self._waiting:
                await self._commit(connection, self._take())
            used = loop.time()

    def _take(self) -> list[Job]:
        return [self._waiting.popleft() for _ in range(min(MAX_GROUP, len(self._waiting)))]

    async def _commit(self, connection: ServerConnection, group: list[Job]) -> None:
        try:
            outcomes = await _within(GROUP_TIMEOUT, commit(connection, group))
        except Lost as error:
            self._resolve(group, [error] * len(group))
            raise
        self._resolve(group, outcomes)
        lost = next((outcome for outcome in outcomes if isinstance(outcome, Lost)), None)
        if lost is not None:
            raise lost

    async def _reconnect(self) -> ServerConnection | None:
        """Connect again, as often as it takes; None when the engine was closed meanwhile."""
        pause, was_down = FIRST_PAUSE, False
        try:
            while not self._closing:
                try:
                    return await self._try_to_connect()
                except StorageError as error:
                    self._down += not was_down
                    was_down = True
                    self._trouble = str(error)
                if self._down == self._size:
                    self._refuse_all(Unavailable(self._trouble))
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))
                pause = min(2 * pause, LONGEST_PAUSE)
            return None
        finally:
            self._down -= was_down

    async def _try_to_connect(self) -> ServerConnection:
        return await _within(CONNECT_TIMEOUT, self._connect())

    def _refuse_all(self, error: StorageError) -> None:
        jobs = list(self._waiting)
        self._waiting.clear()
        self._resolve(jobs, [error] * len(jobs))


async def _within(seconds: float, work: Awaitable[Result]) -> Result:
    """The result of some work that must not take longer. Raises Lost when it does."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise Lost(f"the database does not answer within {seconds:g} s") from None
    except OSError as error:
        raise Lost(f"cannot reach the database: {first_line(error)}") from error
