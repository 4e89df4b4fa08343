"""Makes operations wait for each other, so that they are committed in one group."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sipsilo.storage.connection import Connection
from sipsilo.storage.engine import Engine, Operation


class _ThreadGate(Operation[None, None]):
    """On SQLite's thread."""

    rank = 0

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    async def reached(self) -> None:
        assert await asyncio.get_running_loop().run_in_executor(None, self._reached.wait, 10)

    def open(self) -> None:
        self._opened.set()

    async def run(self, connection: Connection, items: Sequence[None]) -> Sequence[None]:
        self._reached.set()
        assert self._opened.wait(10)
        return [None] * len(items)


class _LoopGate(Operation[None, None]):
    """On the event loop, where a server's connections are."""

    rank = 0

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()

    async def reached(self) -> None:
        await self._reached.wait()

    def open(self) -> None:
        self._opened.set()

    async def run(self, connection: Connection, items: Sequence[None]) -> Sequence[None]:
        self._reached.set()
        await self._opened.wait()
        return [None] * len(items)


@asynccontextmanager
async def held(engine: Engine) -> AsyncIterator[None]:
    """The engine's one connection is busy meanwhile: an operation of its own is under way, all others wait."""
    gate = _ThreadGate() if engine.dialect == "sqlite" else _LoopGate()
    blocking = engine.submit(gate, None)
    await gate.reached()
    try:
        yield
    finally:
        gate.open()
        await blocking
