"""PostgreSQL, by asyncpg."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.sql import Executable

from sipsilo.silo.repository import Unfit
from sipsilo.storage.connection import Insert, Row
from sipsilo.storage.engine import Conflict, StorageError, Unavailable, first_line
from sipsilo.storage.server import Lost, ServerConnection, ServerEngine
from sipsilo.storage.statements import Statements, chunks

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    OSError,
)
_CONFLICT = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_UNAVAILABLE = (asyncpg.InsufficientResourcesError, asyncpg.OperatorInterventionError, asyncpg.LockNotAvailableError)


class PostgresqlEngine(ServerEngine):
    """`arguments`: what asyncpg.connect takes."""

    dialect = "postgresql"

    def __init__(self, arguments: Mapping[str, Any], connections: int, max_pending: int = 10_000) -> None:
        super().__init__(connections, max_pending)
        self._arguments = arguments

    async def _connect(self) -> ServerConnection:
        async with _told():
            # however long a statement for many rows is, it is worth being kept
            return _Connection(await asyncpg.connect(**self._arguments, max_cacheable_statement_size=0))


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    try:
        yield
    except _LOST as error:
        raise Lost(first_line(error)) from error
    except _CONFLICT as error:
        raise Conflict(first_line(error)) from error
    except _UNAVAILABLE as error:
        raise Unavailable(first_line(error)) from error
    except asyncpg.DataError as error:
        raise Unfit(first_line(error)) from error
    except asyncpg.PostgresError as error:
        raise StorageError(first_line(error)) from error


class _Connection:
    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self._statements = Statements("postgresql.asyncpg")

    async def ping(self) -> None:
        async with _told():
            await self._connection.execute("SELECT 1")

    async def close(self) -> None:
        with contextlib.suppress(*_LOST, asyncpg.PostgresError, TimeoutError):
            await self._connection.close(timeout=1)

    def terminate(self) -> None:
        self._connection.terminate()

    async def begin(self) -> None:
        async with _told():
            await self._connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    async def commit(self) -> None:
        async with _told():
            await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        with contextlib.suppress(*_LOST, asyncpg.PostgresError):
            await self._connection.execute("ROLLBACK")

    async def execute(self, statement: Executable, values: Mapping[str, object]) -> int:
        prepared = self._statements.prepare(statement)
        async with _told():
            status = await self._connection.execute(prepared.sql, *prepared.arguments(values))
        return int(status.rpartition(" ")[2])  # "UPDATE 3"

    async def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, object]]) -> None:
        prepared = self._statements.prepare(statement)
        async with _told():
            await self._connection.executemany(prepared.sql, list(map(prepared.arguments, rows)))

    async def fetch(self, statement: Executable, values: Mapping[str, object]) -> Sequence[Row]:
        prepared = self._statements.prepare(statement)
        async with _told():
            found = await self._connection.fetch(prepared.sql, *prepared.arguments(values))
        return [tuple(record) for record in found]

    async def insert(self, insert: Insert, rows: Sequence[Row]) -> Sequence[int]:
        numbers: list[int] = []
        for chunk in chunks(rows):
            sql = self._statements.insert(insert, len(chunk), returning=True)
            async with _told():
                returned = await self._connection.fetch(sql, *[value for row in chunk for value in row])
            numbers.extend(number for (number,) in returned)
        return numbers
