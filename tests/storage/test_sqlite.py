"""What only the embedded database has: a file, a thread, a lock on the whole."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sipsilo.storage.connection import Connection
from sipsilo.storage.engine import Operation, StorageError
from sipsilo.storage.sqlite import SqliteEngine
from tests.loop import run
from tests.storage.conftest import SqliteDatabase
from tests.storage.gate import held
from tests.storage.samples import message, page


class Ask(Operation[str, Sequence[Sequence[Any]]]):
    """Runs SQL on the engine's own connection."""

    rank = 0

    async def run(self, connection: Connection, items: Sequence[str]) -> Sequence[Sequence[Sequence[Any]]]:
        return [await connection.fetch(text(sql), {}) for sql in items]


def test_group_is_one_transaction(sqlite_database: SqliteDatabase) -> None:
    """Another program sees none of a group, or all of it."""
    seen = set()

    async def scenario() -> None:
        async with sqlite_database.node() as node:
            async with held(node.engine):
                adding = [asyncio.ensure_future(node.messages.add(message())) for _ in range(200)]
            with closing(sqlite3.connect(sqlite_database.url.removeprefix("sqlite:///"))) as other:
                while not all(add.done() for add in adding):
                    seen.update(other.execute("SELECT count(*) FROM silo").fetchone())
                    await asyncio.sleep(0)
            await asyncio.gather(*adding)

    run(scenario())
    assert seen <= {0, 200}


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2)])
def test_power_may_fail_after_a_commit(sqlite_database: SqliteDatabase, pragma: str, value: object) -> None:
    """2 is FULL: the log is synchronised at each commit."""

    async def scenario() -> None:
        async with sqlite_database.node() as node:
            assert await node.engine.submit(Ask(), f"PRAGMA {pragma}") == [(value,)]

    run(scenario())


def test_full_disk_refuses_stores_and_leaves_the_rest_working(sqlite_database: SqliteDatabase) -> None:
    async def scenario() -> None:
        async with sqlite_database.node() as node:
            mid = await node.messages.add(message())
            ((pages,),) = await node.engine.submit(Ask(), "PRAGMA page_count")
            assert isinstance(pages, int)
            await node.engine.submit(Ask(), f"PRAGMA max_page_count={pages}")
            with pytest.raises(StorageError, match="full"):
                await node.messages.add(message(body=bytes(100_000)))
            assert isinstance(await node.messages.claim(page()), list)
            await node.messages.delete(mid)
            await node.engine.submit(Ask(), f"PRAGMA max_page_count={10 * pages + 100}")
            await node.messages.add(message(body=bytes(100_000)))

    run(scenario())


def test_locked_database_refuses_a_group_at_once(sqlite_database: SqliteDatabase) -> None:
    """Somebody else's transaction: those who wait together are told together, not one after the other."""
    patience, waiting = 0.2, 20

    async def scenario() -> float:
        async with sqlite_database.node() as node:
            await node.engine.submit(Ask(), f"PRAGMA busy_timeout={patience * 1000:.0f}")
            with closing(
                sqlite3.connect(sqlite_database.url.removeprefix("sqlite:///"), isolation_level=None)
            ) as other:
                other.execute("BEGIN IMMEDIATE")
                started = time.monotonic()
                adding = [asyncio.ensure_future(node.messages.add(message())) for _ in range(waiting)]
                outcomes = await asyncio.gather(*adding, return_exceptions=True)
                took = time.monotonic() - started
                other.execute("ROLLBACK")
            assert all(isinstance(outcome, StorageError) for outcome in outcomes)
            await node.messages.add(message())
            return took

    assert run(scenario()) < 5 * patience


@pytest.mark.parametrize("spoilt", ["no database", "no file", "no folder"])
def test_file_that_cannot_be_opened_is_named(tmp_path: Path, spoilt: str) -> None:
    file = tmp_path / "silo.db"
    if spoilt == "no database":
        file.write_bytes(b"no database" * 100)
    elif spoilt == "no file":
        file.mkdir()
    else:
        tmp_path = tmp_path / "file"
        tmp_path.write_text("")
        file = tmp_path / "silo.db"

    async def scenario() -> None:
        engine = SqliteEngine(file)
        with pytest.raises(StorageError) as caught:
            await engine.open()
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)
        await engine.close()

    run(scenario())
