"""The databases that the cases run on. A case uses the repositories, and SQL that all of them know."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sipsilo.storage.bindings import BindingRepository
from sipsilo.storage.engine import Engine
from sipsilo.storage.messages import MessageRepository
from tests.storage.template import put_empty_database


@dataclass(frozen=True)
class Node:
    """One server's view of the database."""

    engine: Engine
    messages: MessageRepository
    bindings: BindingRepository


class Database:
    """A SQLite file; other kinds offer the same."""

    def __init__(self, file: Path) -> None:
        self.url = f"sqlite:///{file}"

    @asynccontextmanager
    async def node(self, name: str = "one", max_pending: int = 10_000) -> AsyncIterator[Node]:
        """A node that has started, and stops at the end."""
        engine = Engine(self.url, max_pending)
        engine.open()
        try:
            messages = MessageRepository(engine, name)
            await messages.start()
            yield Node(engine, messages, BindingRepository(engine))
        finally:
            await engine.close()

    def execute(self, sql: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        """What another program on the same database would do, or see: one committed statement."""
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection, connection:
            return connection.execute(sql, parameters).fetchall()


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """One empty database of each kind."""
    assert request.param == "sqlite"
    file = tmp_path / "silo.db"
    put_empty_database(file)
    return Database(file)
