"""SQLAlchemy's statements as a driver takes them: compiled once, then SQL and values in the driver's order."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler

from sipsilo.storage.connection import Insert

Item = TypeVar("Item")


class Prepared(NamedTuple):
    """SQL, and the names of its values in their order with what they are unless given."""

    sql: str
    parameters: tuple[tuple[str, object], ...]

    def arguments(self, values: Mapping[str, object]) -> list[object]:
        """The values in the order of the SQL."""
        return [values.get(name, default) for name, default in self.parameters]


_MARKS = {"qmark": "?", "format": "%s", "numeric_dollar": "${}"}
"""How drivers write the place of a value, which has a number in some of them."""


class Statements:
    """The statements of one dialect, named as SQLAlchemy names it; each is compiled at its first use."""

    def __init__(self, dialect: str) -> None:
        self._dialect: Dialect = registry.load(dialect)()
        self._mark = _MARKS[self._dialect.paramstyle]
        # held by the statement itself: what is forgotten elsewhere must not give its id to another
        self._prepared: dict[Executable, Prepared] = {}
        self._inserts: dict[tuple[Insert, int], str] = {}

    def prepare(self, statement: Executable) -> Prepared:
        """A statement as SQL of this dialect."""
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = self._compile(statement)
        return prepared

    def insert(self, insert: Insert, count: int, *, returning: bool = False) -> str:
        """SQL for that many rows, whose values come row by row in the order of the columns.

        `returning`: it gives the rows' numbers, where the driver has no other way to tell them.
        """
        sql = self._inserts.get((insert, count))
        if sql is None:
            sql = self._inserts[insert, count] = self._insert(insert, count) + (
                f" RETURNING {self._name(insert, insert.returning)}" if returning and insert.returning else ""
            )
        return sql

    def _insert(self, insert: Insert, count: int) -> str:
        width = len(insert.columns)
        marks = [self._mark.format(place + 1) for place in range(count * width)]
        rows = (f"({', '.join(marks[start : start + width])})" for start in range(0, len(marks), width))
        columns = ", ".join(self._name(insert, key) for key in insert.columns)
        table = self._dialect.identifier_preparer.format_table(insert.table)
        return f"INSERT INTO {table} ({columns}) VALUES {', '.join(rows)}"

    def _name(self, insert: Insert, key: str) -> str:
        return self._dialect.identifier_preparer.format_column(insert.table.c[key])

    def _compile(self, statement: Executable) -> Prepared:
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(dialect=self._dialect)
        assert isinstance(compiled, SQLCompiler)
        return Prepared(compiled.string, tuple((name, compiled.params[name]) for name in compiled.positiontup or ()))


_SIZES = (256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)


def is_one_chunk(items: Sequence[object]) -> bool:
    """Whether `chunks` makes one slice of them."""
    return len(items) in _SIZES


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Slices of a few sizes, so that the statement of each is prepared once, and any number takes few of them.

    One statement for many rows is one journey to the server, and on SQLite leaves Python's lock once.
    """
    start = 0
    for size in _SIZES:
        while size <= len(items) - start:
            yield items[start : start + size]
            start += size
