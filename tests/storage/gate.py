"""Makes operations wait for each other, so that they are committed in one group."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sipsilo.storage.engine import Engine, Operation


class _Gate(Operation[None, None]):
    rank = 0

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def run(self, connection: sqlite3.Connection, items: Sequence[None]) -> Sequence[None]:
        self.reached.set()
        assert self.opened.wait(10)
        return [None] * len(items)


@asynccontextmanager
async def held(engine: Engine) -> AsyncIterator[None]:
    """The engine's thread is busy meanwhile: one operation of its own is under way, all others wait."""
    gate = _Gate()
    blocking = engine.submit(gate, None)
    assert await asyncio.get_running_loop().run_in_executor(None, gate.reached.wait, 10)
    try:
        yield
    finally:
        gate.opened.set()
        await blocking
