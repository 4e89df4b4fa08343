"""The embedded database: one SQLite file, on a thread of its own."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.sql import Executable

from sipsilo.storage.connection import Insert, Row
from sipsilo.storage.engine import MAX_GROUP, Engine, Job, StorageError, Unavailable, commit, first_line
from sipsilo.storage.statements import Statements, chunks

Result = TypeVar("Result")


class SqliteEngine(Engine):
    """One file, whose tables exist. The work is done on the engine's thread."""

    dialect = "sqlite"

    def __init__(self, file: Path, max_pending: int = 10_000) -> None:
        super().__init__(max_pending)
        self._file = file
        self._closed = True
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._connection: _Connection | None = None
        self._thread = threading.Thread(target=self._work, name="sipsilo-database", daemon=True)
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """Open the file and start the thread. Raises StorageError."""
        try:
            self._connection = _Connection(_connect(self._file))
        except sqlite3.Error as error:
            raise StorageError(f"cannot open {self._file}: {first_line(error)}") from error
        self._closed = False
        self._thread.start()

    async def close(self) -> None:
        """Finish all that was submitted, then close the file."""
        self._closed = True
        if self._thread.is_alive():
            self._queue.put(None)
            await self._loop.run_in_executor(None, self._thread.join)

    def _put(self, job: Job) -> None:
        if self._closed:
            raise StorageError("the database is closed")
        self._queue.put(job)

    # -- on the engine's thread

    def _work(self) -> None:
        assert self._connection is not None
        open_ = True
        while open_:
            jobs = self._take()
            if jobs[-1] is None:
                open_ = False
            group = [job for job in jobs if job is not None]
            if group:
                outcomes = _finish(commit(self._connection, group))
                self._loop.call_soon_threadsafe(self._resolve, group, outcomes)
        self._connection.close()

    def _take(self) -> list[Job | None]:
        jobs = [self._queue.get()]
        while jobs[-1] is not None and len(jobs) < MAX_GROUP:
            try:
                jobs.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return jobs


def _finish(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that waits for nothing: SQLite's calls return when they are done."""
    try:
        work.send(None)
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("an operation awaits something else than its connection")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=10.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # a 202 promises that power may fail now
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    return connection


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(first_line(error)) from error  # the disk is full, the file is locked
    except sqlite3.Error as error:
        raise StorageError(first_line(error)) from error


class _Connection:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._statements = Statements("sqlite")

    def close(self) -> None:
        self._connection.close()

    async def begin(self) -> None:
        with _told():
            self._connection.execute("BEGIN IMMEDIATE")

    async def commit(self) -> None:
        with _told():
            self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    async def execute(self, statement: Executable, values: Mapping[str, object]) -> int:
        prepared = self._statements.prepare(statement)
        with _told():
            return self._connection.execute(prepared.sql, prepared.arguments(values)).rowcount

    async def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, object]]) -> None:
        prepared = self._statements.prepare(statement)
        with _told():
            self._connection.executemany(prepared.sql, map(prepared.arguments, rows))

    async def fetch(self, statement: Executable, values: Mapping[str, object]) -> Sequence[Row]:
        prepared = self._statements.prepare(statement)
        with _told():
            return self._connection.execute(prepared.sql, prepared.arguments(values)).fetchall()

    async def insert(self, insert: Insert, rows: Sequence[Row]) -> Sequence[int]:
        numbers: list[int] = []
        with _told():
            for chunk in chunks(rows):
                values = [value for row in chunk for value in row]
                cursor = self._connection.execute(self._statements.insert(insert, len(chunk)), values)
                # one writer: the rows of a statement are numbered without gaps
                last = cursor.lastrowid or 0
                numbers.extend(range(last - len(chunk) + 1, last + 1))
        return numbers
