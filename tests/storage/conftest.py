"""The databases that the cases run on. A case uses the repositories, and SQL that all of them know."""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sipsilo.storage.bindings import BindingRepository
from sipsilo.storage.engine import Engine
from sipsilo.storage.messages import MessageRepository
from sipsilo.storage.opening import create_engine
from sipsilo.storage.tables import Tables
from sipsilo.storage.urls import parse_url
from tests.databases import TestServer
from tests.storage.template import create_tables, empty_tables, put_empty_database

TABLES = Tables()


@dataclass(frozen=True)
class Node:
    """One server's view of the database."""

    engine: Engine
    messages: MessageRepository
    bindings: BindingRepository


class Database(ABC):
    """A database with the tables in it, and nothing in them."""

    url: str

    @abstractmethod
    def execute(self, sql: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        """What another program on the same database would do, or see: one committed statement, `?` for values."""

    @asynccontextmanager
    async def node(
        self, name: str = "one", *, max_pending: int = 10_000, max_messages: int = 0, connections: int = 1
    ) -> AsyncIterator[Node]:
        """A node that has started, and stops at the end."""
        engine = create_engine(parse_url(self.url), connections, max_pending)
        await engine.open()
        try:
            messages = MessageRepository(engine, TABLES, name, max_messages=max_messages)
            await messages.start()
            yield Node(engine, messages, BindingRepository(engine, TABLES))
        finally:
            await engine.close()


class SqliteDatabase(Database):
    """A SQLite file."""

    def __init__(self, file: Path) -> None:
        self.url = f"sqlite:///{file}"
        put_empty_database(file)

    def execute(self, sql: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection, connection:
            return connection.execute(sql, parameters).fetchall()


class ServerDatabase(Database):
    """A database on a server."""

    def __init__(self, server: TestServer, url: str) -> None:
        self.url = url
        self._server = server

    def execute(self, sql: str, *parameters: object) -> Sequence[tuple[Any, ...]]:
        return self._server.execute(self.url, sql, *parameters)


@pytest.fixture
def sqlite_database(tmp_path: Path) -> SqliteDatabase:
    """For what only SQLite has."""
    return SqliteDatabase(tmp_path / "silo.db")


_SERVERS = {"mysql": "fast_mariadb_server", "postgresql": "fast_postgresql_server"}


@pytest.fixture(params=list(_SERVERS))
def server_database(request: pytest.FixtureRequest) -> Iterator[ServerDatabase]:
    """One empty database of each kind that a server has."""
    url = request.getfixturevalue(f"{request.param}_tables")
    yield ServerDatabase(request.getfixturevalue(_SERVERS[request.param]), url)
    asyncio.run(empty_tables(url))


@pytest.fixture(params=["sqlite", *_SERVERS])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """One empty database of each kind."""
    if request.param == "sqlite":
        yield SqliteDatabase(tmp_path / "silo.db")
        return
    url = request.getfixturevalue(f"{request.param}_tables")
    yield ServerDatabase(request.getfixturevalue(_SERVERS[request.param]), url)
    asyncio.run(empty_tables(url))


@pytest.fixture(scope="session")
def mysql_tables(fast_mariadb_server: TestServer) -> Iterator[str]:
    """A database on MariaDB with tables that each case finds empty; making them takes longer than most cases."""
    yield from _tables(fast_mariadb_server)


@pytest.fixture(scope="session")
def postgresql_tables(fast_postgresql_server: TestServer) -> Iterator[str]:
    """The same on PostgreSQL."""
    yield from _tables(fast_postgresql_server)


def _tables(server: TestServer) -> Iterator[str]:
    url = server.create_database()
    asyncio.run(create_tables(url))
    yield url
    server.drop_database(url)
