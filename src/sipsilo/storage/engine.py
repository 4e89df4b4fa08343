"""Group commit (docs/design.md): what the engines of all databases have in common.

Whatever waits when a connection comes back from a commit goes into its next one: one row at low load, hundreds
under load, each commit one fsync. Nobody's future is resolved before their commit.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import structlog

from sipsilo.silo.repository import RepositoryError, Unfit
from sipsilo.storage.connection import Connection, Dialect

Item = TypeVar("Item")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)

MAX_GROUP = 512
"""Operations in one transaction: enough that the fsync's share is small, few enough that nobody waits long."""

MAX_CONFLICTS = 5
"""Times that a group is tried which another node or program has crossed (a deadlock)."""


class StorageError(RepositoryError):
    """The database did not do what was asked; nothing of it was written."""


class StorageFull(StorageError):
    """Too many operations wait for the database; this one was not taken."""


class Unavailable(StorageError):
    """The database is away, locked or full: it would be so for each operation."""


class Conflict(StorageError):
    """Another transaction stood in the way; the same again may succeed."""


class Operation(ABC, Generic[Item, Result]):
    """One kind of work. All items of a kind that wait are done together.

    Within a transaction, kinds run in the order of their `rank`: writes before the reads that must see them.
    """

    rank: int

    @abstractmethod
    async def run(self, connection: Connection, items: Sequence[Item]) -> Sequence[Result | Exception]:
        """Do the work, within an open transaction unless it `is_one_statement`.

        A result, or an exception for its submitter, per item.

        Awaits nothing but the connection: on SQLite there is no event loop below. Raises StorageError, Unfit.
        """

    def is_one_statement(self, items: Sequence[Item]) -> bool:
        """Whether `run` is a single statement for these items, which needs no transaction around it."""
        return False


class Job(NamedTuple):
    """An operation on its way, and who waits for it."""

    operation: Operation[Any, Any]
    item: Any
    future: asyncio.Future[Any]


class Engine(ABC):
    """One database. `submit` from the event loop."""

    dialect: ClassVar[Dialect]

    def __init__(self, max_pending: int) -> None:
        self._max_pending = max_pending
        self._pending = 0

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises StorageError."""

    @abstractmethod
    async def close(self) -> None:
        """Finish all that was submitted, then disconnect."""

    @abstractmethod
    def _put(self, job: Job) -> None:
        """Take a job into the queue. Raises StorageError."""

    def submit(self, operation: Operation[Item, Result], item: Item) -> asyncio.Future[Result]:
        """Queue an operation; the future resolves after its commit. Raises StorageError, StorageFull."""
        if self._pending >= self._max_pending:
            raise StorageFull(f"{self._pending} operations wait for the database")
        future = asyncio.get_running_loop().create_future()
        self._put(Job(operation, item, future))
        self._pending += 1
        return future

    def _resolve(self, jobs: Sequence[Job], outcomes: Sequence[Any]) -> None:
        self._pending -= len(jobs)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():  # its waiter was cancelled
                continue
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)


async def commit(connection: Connection, jobs: Sequence[Job]) -> Sequence[Any]:
    """Do a group in one transaction; an outcome per job, exceptions included.

    If an item is bad, each is done by itself, so that it spoils only itself.
    """
    for _ in range(MAX_CONFLICTS):
        try:
            return await _transaction(connection, jobs)
        except Conflict as error:
            log.info("a group of operations met another transaction", error=str(error))
            conflict = error
        except Unavailable as error:
            return [error] * len(jobs)
        except Exception as error:  # noqa: BLE001  whatever it is, the engine goes on
            return await _one_by_one(connection, jobs, error)
    return [conflict] * len(jobs)


async def _one_by_one(connection: Connection, jobs: Sequence[Job], error: Exception) -> Sequence[Any]:
    if len(jobs) == 1:
        return [_told(error)]
    log.warning("a group of operations failed, doing each by itself", error=first_line(error))
    return [outcome for job in jobs for outcome in await commit(connection, [job])]


def _told(error: Exception) -> RepositoryError:
    if isinstance(error, RepositoryError):
        return error
    # what a driver cannot encode: no UTF-8, a number beyond 64 bits
    kind = Unfit if isinstance(error, (UnicodeError, OverflowError)) else StorageError
    return kind(first_line(error))


async def _transaction(connection: Connection, jobs: Sequence[Job]) -> Sequence[Any]:
    operation = jobs[0].operation
    if all(job.operation is operation for job in jobs):
        items = [job.item for job in jobs]
        if operation.is_one_statement(items):
            # at low load the journeys of BEGIN and COMMIT would take longer than the work
            return await operation.run(connection, items)
    outcomes: dict[int, Any] = {}
    ordered = sorted(range(len(jobs)), key=lambda index: jobs[index].operation.rank)
    await connection.begin()
    try:
        for operation, indices in groupby(ordered, key=lambda index: jobs[index].operation):
            places = list(indices)
            results = await operation.run(connection, [jobs[i].item for i in places])
            outcomes.update(zip(places, results, strict=True))
        await connection.commit()
    except Exception:  # not CancelledError: a server that does not answer would not answer ROLLBACK either
        await connection.rollback()
        raise
    return [outcomes[index] for index in range(len(jobs))]


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return str(error).partition("\n")[0] or type(error).__name__
