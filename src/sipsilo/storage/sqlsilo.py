"""The silo of a database as source and as target of a copy."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from typing import Any

import asyncpg
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, Table, Text, delete, func, inspect, select
from sqlalchemy import insert as sql_insert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from sipsilo.storage.access import Access, reason
from sipsilo.storage.rows import BYTES, KEYS, NUMBERS, Progress, Refuse, Row
from sipsilo.storage.schema import Schema, SchemaError, check_is_silo, read_schema, resolve_names
from sipsilo.storage.tables import SiloNames, Tables
from sipsilo.storage.urls import parse_url, shown

# MySQL's errors about a value: null, out of range, invalid or untranslatable text, too long
_ABOUT_A_VALUE = frozenset((1048, 1264, 1300, 1366, 1406, 3854))


class SqlSource:
    """The silo of a database, which may be another program's and is only read."""

    def __init__(self, access: Access, names: SiloNames) -> None:
        self.identity = identity(access.url, names.table)
        self._access = access
        self._names = names
        self._table: Table | None = None

    async def open(self) -> None:
        """Look at the table. Raises SchemaError, DatabaseError."""
        self._table = await self._access.run(self._find)

    def _find(self, connection: Connection) -> Table:
        inspector = inspect(connection)
        names = resolve_names(inspector, self._names)
        if not inspector.has_table(names.table):
            raise SchemaError(f"{shown(self._access.url)}: there is no table {names.table}")
        try:
            check_is_silo(inspector, names)
        except SchemaError as error:
            raise SchemaError(f"{shown(self._access.url)}: {error}") from None
        return plain_table(names, read_schema(connection, names))

    async def last(self) -> int:
        """The highest number."""
        return await self._access.run(_scalar, select(func.coalesce(func.max(self._c.mid), 0)))

    async def count(self, after: int, until: int) -> int:
        """How many messages have a number above `after`, up to `until`."""
        return await self._access.run(_scalar, select(func.count()).where(self._c.mid > after, self._c.mid <= until))

    async def read(self, after: int, until: int, limit: int) -> Sequence[Row]:
        """The first of them, in the order of their numbers."""
        query = select(*self._c).where(self._c.mid > after, self._c.mid <= until).order_by(self._c.mid).limit(limit)
        return await self._access.run(read_rows, query, self._c.keys())

    @property
    def _c(self) -> Any:
        assert self._table is not None
        return self._table.c


class SqlTarget:
    """The silo of a database of ours, whose table sipsilo_meta notes how far each source has been copied."""

    def __init__(self, access: Access, schema: Schema) -> None:
        self.identity = identity(access.url, schema.names.table)
        self._access = access
        self._columns = schema.columns
        self._table = plain_table(schema.names, schema)
        self._meta = Tables(schema.names).meta
        self._note = ""

    async def begin(self, source: str, again: bool) -> Progress:
        """How far earlier copies from this source came."""
        self._note = f"copied {blake2b(source.encode(), digest_size=16).hexdigest()}"
        if again:
            return Progress()
        noted = await self._access.run(_scalar, select(self._meta.c.value).where(self._meta.c.name == self._note))
        return Progress() if noted is None else Progress(**json.loads(noted))

    async def count(self) -> int:
        """How many messages there are."""
        return await self._access.run(_scalar, select(func.count()).select_from(self._table))

    async def write(self, rows: Sequence[Row], progress: Progress, refuse: Refuse) -> Progress:
        """Write rows in their order, under new numbers, and in the same transaction how far we are then."""
        return await self._access.run(self._write, rows, progress, refuse)

    def _write(self, connection: Connection, rows: Sequence[Row], progress: Progress, refuse: Refuse) -> Progress:
        fitting = []
        for row in rows:
            problem = self._problem(row, connection.dialect.name)
            if problem is None:
                fitting.append(row)
            else:
                refuse(row["mid"], problem)
        try:
            with connection.begin_nested():
                self._insert(connection, fitting)
            copied = len(fitting)
        except DBAPIError as error:
            if not _is_about_a_value(error):
                raise
            copied = sum(self._insert_alone(connection, row, refuse) for row in fitting)
        progress = Progress(rows[-1]["mid"], progress.copied + copied, progress.refused + len(rows) - copied)
        connection.execute(delete(self._meta).where(self._meta.c.name == self._note))
        connection.execute(sql_insert(self._meta).values(name=self._note, value=json.dumps(asdict(progress))))
        connection.commit()
        return progress

    def _insert_alone(self, connection: Connection, row: Row, refuse: Refuse) -> bool:
        try:
            with connection.begin_nested():
                self._insert(connection, [row])
        except DBAPIError as error:
            if not _is_about_a_value(error):
                raise
            refuse(row["mid"], reason(error))
            return False
        return True

    def _insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        if rows:
            connection.execute(sql_insert(self._table), [self._values(row) for row in rows])

    def _values(self, row: Row) -> Mapping[str, object]:
        """As the columns take them; their own numbers are the target's to give."""
        values = {}
        for key, column in self._columns.items():
            value = row[key]
            if value is None and not column.nullable:
                value = 0 if key in NUMBERS else b"" if not column.is_text else ""
            elif isinstance(value, bytes) and column.is_text:
                value = value.decode()
            values[key] = value
        del values["mid"]
        return values

    def _problem(self, row: Row, dialect: str) -> str | None:
        """Why a row cannot be kept whole, as far as we can tell before the database does."""
        for key, column in self._columns.items():
            value = row[key]
            if not isinstance(value, (str, bytes)):
                continue
            if not column.fits(value):
                return f"{key} has {len(value)} {_unit(value)}; the column holds {column.size}"
            if column.is_text and not _is_text(value, dialect):
                return f"{key} is no text that the column holds"
        return None

    async def end(self) -> None:
        """The note stays: what came later is copied the next time."""


def _unit(value: str | bytes) -> str:
    return "characters" if isinstance(value, str) else "bytes"


def _is_text(value: str | bytes, dialect: str) -> bool:
    """Whether it is UTF-8, and has no zero byte, which PostgreSQL takes in no text."""
    try:
        data = value.encode() if isinstance(value, str) else value
        data.decode()
    except UnicodeError:
        return False
    return dialect != "postgresql" or b"\0" not in data


def _is_about_a_value(error: DBAPIError) -> bool:
    """Whether the database refused a value, and would refuse it again."""
    if isinstance(error, (DataError, IntegrityError)):
        return True
    orig = error.orig
    if orig is None:
        return False
    code = orig.args[0] if orig.args else None
    state = str(getattr(orig, "sqlstate", None) or "")
    return code in _ABOUT_A_VALUE or state[:2] in ("22", "23") or isinstance(orig.__cause__, asyncpg.DataError)


def identity(url: str, table: str) -> str:
    """What tells one silo from another: the URL without its password, and the table."""
    place = parse_url(url)
    where = f"sqlite:///{os.path.abspath(place.path)}" if place.kind == "sqlite" else shown(url)
    return f"{where} table {table}"


def plain_table(names: SiloNames, schema: Schema) -> Table:
    """The columns that there are, by their keys, with the types that the database has."""
    columns = []
    for column in Tables(names).silo.c:
        if column.key in schema.columns:
            is_text = schema.columns[column.key].is_text
            kind = BigInteger() if column.key in NUMBERS else Text() if is_text else LargeBinary()
            columns.append(Column(column.name, kind, key=column.key))
    return Table(names.table, MetaData(), *columns)


def _scalar(connection: Connection, query: Any) -> Any:
    found = connection.execute(query).scalar()
    connection.rollback()
    return found


def read_rows(connection: Connection, query: Any, keys: Sequence[str]) -> list[Row]:
    """What a query finds, by the keys that are given; the keys of other columns hold None."""
    rows = [_row(dict(zip(keys, values, strict=True))) for values in connection.execute(query)]
    connection.rollback()
    return rows


def _row(values: Mapping[str, Any]) -> Row:
    row: Row = dict.fromkeys(KEYS)
    for key, value in values.items():
        if key in BYTES and isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        elif key not in BYTES and isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        row[key] = value
    return row
