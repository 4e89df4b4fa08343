"""MariaDB and MySQL, by asyncmy."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncmy
from asyncmy import errors
from asyncmy.constants import CLIENT
from sqlalchemy.sql import Executable

from sipsilo.silo.repository import RepositoryError, Unfit
from sipsilo.storage.connection import Insert, Row
from sipsilo.storage.engine import Conflict, StorageError, Unavailable, first_line
from sipsilo.storage.server import CONNECT_TIMEOUT, Lost, ServerConnection, ServerEngine
from sipsilo.storage.statements import Statements, chunks

# Strict: what does not fit a column is an error, never cut. READ COMMITTED: a statement after a lock sees what
# those who held it before have committed.
_SESSION = "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', transaction_isolation='READ-COMMITTED'"
_SESSION_MARIADB = _SESSION.replace("transaction_isolation", "tx_isolation")

STATEMENTS = 100
"""Statements that the server keeps prepared for each connection, all that we have: they take half the work on both
sides of what is written out each time."""

_DEADLOCK = frozenset((1205, 1213))
_UNAVAILABLE = frozenset((1021, 1040, 1114, 1129, 1203, 1290, 1836))  # disk or table full, too many, read-only
_UNFIT = frozenset((1264, 1366, 1406))  # out of range, not of the column's character set, too long
_LOST = frozenset((1053, 1927, 2003, 2006, 2013, 2014, 2055))  # shutdown, killed, gone away, out of step


class MysqlEngine(ServerEngine):
    """`arguments`: what asyncmy.connect takes."""

    dialect = "mysql"

    def __init__(self, arguments: Mapping[str, object], connections: int, max_pending: int = 10_000) -> None:
        super().__init__(connections, max_pending)
        self._arguments = arguments

    async def _connect(self) -> ServerConnection:
        async with _told():
            raw = await asyncmy.connect(
                **self._arguments,
                charset="utf8mb4",
                autocommit=True,
                client_flag=CLIENT.FOUND_ROWS,  # an UPDATE's count is what it met, changed or not
                connect_timeout=CONNECT_TIMEOUT,
                stmt_cache_size=STATEMENTS,
            )
            connection = _Connection(raw)
            await connection.set_up()
            return connection


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    try:
        yield
    except errors.MySQLError as error:
        raise _translated(error) from error
    except ValueError as no_value:  # what a prepared statement cannot take: no UTF-8, a number beyond 64 bits
        raise Unfit(first_line(no_value)) from no_value
    except (OSError, RuntimeError, AttributeError) as error:
        # RuntimeError, AttributeError: how asyncmy says that a connection was closed under it
        raise Lost(first_line(error)) from error


def _translated(error: errors.MySQLError) -> RepositoryError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else first_line(error)
    if code in _DEADLOCK:
        return Conflict(text)
    if code in _UNAVAILABLE:
        return Unavailable(text)
    if code in _UNFIT:
        return Unfit(text)
    if code in _LOST or isinstance(error, errors.InterfaceError):
        return Lost(text)
    return StorageError(text)


class _Connection:
    def __init__(self, connection: Any) -> None:
        self._connection = connection  # an asyncmy.Connection, which is typed only in part
        self._statements = Statements("mysql.asyncmy")
        self._step = 1

    async def set_up(self) -> None:
        """Say how we want to be served, and learn how rows are numbered."""
        is_mariadb = "mariadb" in self._connection.get_server_info().lower()
        await self._connection.query(_SESSION_MARIADB if is_mariadb else _SESSION)
        # 2 or more where servers replicate in a ring or in Galera
        async with self._connection.cursor() as cursor:
            await cursor.execute("SELECT @@auto_increment_increment")
            (self._step,) = await cursor.fetchone()

    async def ping(self) -> None:
        async with _told():
            await self._connection.ping(reconnect=False)

    async def close(self) -> None:
        with contextlib.suppress(errors.MySQLError, OSError, RuntimeError, AttributeError):
            await self._connection.ensure_closed()

    def terminate(self) -> None:
        self._connection.close()

    async def begin(self) -> None:
        async with _told():
            await self._connection.query("BEGIN")

    async def commit(self) -> None:
        async with _told():
            await self._connection.query("COMMIT")

    async def rollback(self) -> None:
        with contextlib.suppress(errors.MySQLError, OSError, RuntimeError, AttributeError):
            await self._connection.query("ROLLBACK")

    async def execute(self, statement: Executable, values: Mapping[str, object]) -> int:
        prepared = self._statements.prepare(statement)
        async with _told(), self._connection.cursor() as cursor:
            count: int = await cursor.execute(prepared.sql, prepared.arguments(values))
            return count

    async def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, object]]) -> None:
        for row in rows:
            await self.execute(statement, row)

    async def fetch(self, statement: Executable, values: Mapping[str, object]) -> Sequence[Row]:
        prepared = self._statements.prepare(statement)
        async with _told(), self._connection.cursor() as cursor:
            await cursor.execute(prepared.sql, prepared.arguments(values))
            rows: Sequence[Row] = await cursor.fetchall()
            return rows

    async def insert(self, insert: Insert, rows: Sequence[Row]) -> Sequence[int]:
        numbers: list[int] = []
        for chunk in chunks(rows):
            sql = self._statements.insert(insert, len(chunk))
            async with _told(), self._connection.cursor() as cursor:
                await cursor.execute(sql, [value for row in chunk for value in row])
                # The first number of a statement whose number of rows is known; the others follow without gaps.
                first = cursor.lastrowid
            numbers.extend(range(first, first + len(chunk) * self._step, self._step))
        return numbers
