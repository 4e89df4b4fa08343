"""Database servers that the tests start themselves, one of each kind a session; fixtures of tests/conftest.py.

`mariadb_server` and `postgresql_server` keep what they have committed, whatever happens to them;
`fast_mariadb_server` and `fast_postgresql_server` sync nothing, for tests that only care for the SQL.
"""

import asyncio
import itertools
import os
import re
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncmy
import asyncpg
import pytest

from bench import databases
from tests.acceptance.programs import free_port

_numbers = itertools.count(1)


class TestServer(databases.DatabaseServer):
    """A server that sync and async tests can ask, and that gives each test a database of its own."""

    __test__ = False
    drop: str

    def create_database(self) -> str:
        """The URL of a fresh, empty database; `drop_database` it after the test."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.execute(self.url(self.first_database), f"CREATE DATABASE {name}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop it, whoever is still connected."""
        self.execute(self.url(self.first_database), self.drop.format(url.rpartition("/")[2]))

    def revive(self) -> None:
        """Have it run again, whatever a test has done to it."""
        if self._process is None:
            self.start()
        else:
            self.continue_process()

    def execute(self, url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement, committed at once; each `?` in it stands for a value. Its rows, if it has any."""
        with ThreadPoolExecutor(1) as thread:  # the test may have a loop that runs in its own
            return thread.submit(asyncio.run, self._execute(url, sql, values)).result()

    @abstractmethod
    async def _execute(self, url: str, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]: ...


class MariaDb(TestServer, databases.MariaDb):
    """MariaDB, asked through asyncmy."""

    drop = "DROP DATABASE {}"

    async def _execute(self, url: str, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        database = url.rpartition("/")[2]
        connection = await asyncmy.connect(
            host="127.0.0.1", port=self.port, user=self.administrator, db=database, charset="utf8mb4", autocommit=True
        )
        try:
            async with connection.cursor() as cursor:
                await cursor.execute(sql.replace("?", "%s"), values or None)
                return list(await cursor.fetchall()) if cursor.description else []
        finally:
            await connection.ensure_closed()


class PostgreSql(TestServer, databases.PostgreSql):
    """PostgreSQL, asked through asyncpg."""

    drop = "DROP DATABASE {} WITH (FORCE)"

    async def _execute(self, url: str, sql: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        numbers = itertools.count(1)
        connection = await asyncpg.connect(url)
        try:
            rows = await connection.fetch(re.sub(r"\?", lambda _: f"${next(numbers)}", sql), *values)
            return [tuple(row) for row in rows]
        finally:
            await connection.close()


def _running(server: TestServer) -> Iterator[Any]:
    try:
        server.start()
    except databases.DatabaseError as error:
        server.remove()
        pytest.fail(str(error), pytrace=False)
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDb]:
    yield from _running(MariaDb(free_port()))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSql]:
    yield from _running(PostgreSql(free_port()))


@pytest.fixture(scope="session")
def fast_mariadb_server() -> Iterator[MariaDb]:
    yield from _running(MariaDb(free_port(), fast=True))


@pytest.fixture(scope="session")
def fast_postgresql_server() -> Iterator[PostgreSql]:
    yield from _running(PostgreSql(free_port(), fast=True))
