"""The embedded database on a thread of its own, and group commit (docs/design.md).

Whatever waits when the thread comes back from a commit goes into the next one: one row at low load, hundreds
under load, each commit one fsync. Nobody's future is resolved before their commit.
"""

import asyncio
import queue
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import structlog
from sqlalchemy import create_engine

from sipsilo.silo.repository import RepositoryError
from sipsilo.storage.tables import metadata

Item = TypeVar("Item")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)

MAX_GROUP = 512
"""Operations in one transaction: enough that the fsync's share is small, few enough that nobody waits long."""


class StorageError(RepositoryError):
    """The database did not do what was asked; nothing of it was written."""


class StorageFull(StorageError):
    """Too many operations wait for the database; this one was not taken."""


class Operation(ABC, Generic[Item, Result]):
    """One kind of work. All items of a kind that wait are done together.

    Within a transaction, kinds run in the order of their `rank`: writes before the reads that must see them.
    """

    rank: int

    @abstractmethod
    def run(self, connection: sqlite3.Connection, items: Sequence[Item]) -> Sequence[Result]:
        """Do the work within an open transaction; one result per item. Raises sqlite3.Error."""


class _Job(NamedTuple):
    operation: Operation[Any, Any]
    item: Any
    future: asyncio.Future[Any]


class Engine:
    """One SQLite file. `submit` from the event loop; the work is done on the engine's thread."""

    def __init__(self, url: str, max_pending: int = 10_000) -> None:
        self._path = Path(url.removeprefix("sqlite:///"))
        self._url = url
        self._max_pending = max_pending
        self._pending = 0
        self._closed = False
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._work, name="sipsilo-database", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Create the tables that are missing and start the thread. Raises StorageError."""
        self._loop = asyncio.get_running_loop()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            schema = create_engine(self._url)
            metadata.create_all(schema)
            schema.dispose()
            self._connection = _connect(self._path)
        except Exception as error:  # SQLAlchemy wraps driver errors in classes of its own
            raise StorageError(f"cannot open {self._path}: {_first_line(error)}") from error
        self._thread.start()

    async def close(self) -> None:
        """Finish all that was submitted, then close the file."""
        self._closed = True
        if self._thread.is_alive():
            self._queue.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def submit(self, operation: Operation[Item, Result], item: Item) -> asyncio.Future[Result]:
        """Queue an operation; the future resolves after its commit. Raises StorageError, StorageFull."""
        if self._loop is None or self._closed:
            raise StorageError("the database is closed")
        if self._pending >= self._max_pending:
            raise StorageFull(f"{self._pending} operations wait for the database")
        self._pending += 1
        future = self._loop.create_future()
        self._queue.put(_Job(operation, item, future))
        return future

    # -- on the engine's thread

    def _work(self) -> None:
        assert self._connection is not None and self._loop is not None
        open_ = True
        while open_:
            jobs = self._take()
            if jobs[-1] is None:
                open_ = False
            group = [job for job in jobs if job is not None]
            if group:
                outcomes = _commit(self._connection, group)
                self._loop.call_soon_threadsafe(self._resolve, group, outcomes)
        self._connection.close()

    def _take(self) -> list[_Job | None]:
        jobs = [self._queue.get()]
        while jobs[-1] is not None and len(jobs) < MAX_GROUP:
            try:
                jobs.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return jobs

    # -- back on the event loop

    def _resolve(self, jobs: list[_Job], outcomes: list[Any]) -> None:
        self._pending -= len(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.cancelled():
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # a 202 promises that power may fail now
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    return connection


def _commit(connection: sqlite3.Connection, jobs: list[_Job]) -> list[Any]:
    """Do a group in one transaction. If an item is bad, each by itself, so that it spoils only itself."""
    try:
        return _transaction(connection, jobs)
    except sqlite3.OperationalError as error:
        # the disk is full, the file is locked: it would be so for each
        return [StorageError(_first_line(error))] * len(jobs)
    except Exception as error:  # noqa: BLE001  whatever it is, the thread goes on
        if len(jobs) == 1:
            return [StorageError(_first_line(error))]
        log.warning("a group of operations failed, doing each by itself", error=_first_line(error))
        return [outcome for job in jobs for outcome in _commit(connection, [job])]


def _transaction(connection: sqlite3.Connection, jobs: list[_Job]) -> list[Any]:
    outcomes: dict[int, Any] = {}
    ordered = sorted(range(len(jobs)), key=lambda index: jobs[index].operation.rank)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for operation, indices in groupby(ordered, key=lambda index: jobs[index].operation):
            places = list(indices)
            outcomes.update(zip(places, operation.run(connection, [jobs[i].item for i in places]), strict=True))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return [outcomes[index] for index in range(len(jobs))]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
