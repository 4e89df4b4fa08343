"""What operations know of a database connection, whichever database it is."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from sqlalchemy import Table
from sqlalchemy.sql import Executable

Dialect = Literal["sqlite", "mysql", "postgresql"]

Row = Sequence[Any]


class Insert(NamedTuple):
    """Many rows for a table: the keys of the columns that they fill; `returning` the numbers they get, or not."""

    table: Table
    columns: tuple[str, ...]
    returning: str | None = None


class Connection(Protocol):
    """A connection with one transaction at a time; outside of it each statement commits itself.

    Statements are SQLAlchemy Core's, with named parameters.

    Every method raises the errors of `storage.engine`: Unavailable, Conflict, StorageError; and the silo's Unfit.
    """

    async def begin(self) -> None:
        """Begin a transaction, in which every statement sees what others have committed before it."""

    async def commit(self) -> None:
        """Commit it, durably."""

    async def rollback(self) -> None:
        """Undo what is not committed, if there is anything. Never raises."""

    async def execute(self, statement: Executable, values: Mapping[str, object]) -> int:
        """Run a statement; the number of rows that it has met."""

    async def execute_many(self, statement: Executable, rows: Sequence[Mapping[str, object]]) -> None:
        """Run a statement once for each of the rows of values."""

    async def fetch(self, statement: Executable, values: Mapping[str, object]) -> Sequence[Row]:
        """Run a query; its rows."""

    async def insert(self, insert: Insert, rows: Sequence[Row]) -> Sequence[int]:
        """Insert rows, in their order; their numbers, in their order too, if they are asked for."""
