"""Where SQL differs from database to database, beyond what SQLAlchemy knows."""

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, cast
from sqlalchemy import insert as sql_insert
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql import Executable

from sipsilo.storage.connection import Dialect


def insert_if_absent(dialect: Dialect, table: Table) -> Executable:
    """An INSERT of a row, named parameters for all columns, that does nothing if its key is there."""
    values: dict[str, Any] = {column.key: bindparam(column.key) for column in table.columns}
    match dialect:
        case "mysql":
            return sql_insert(table).values(values).prefix_with("IGNORE")
        case "postgresql":
            return postgresql.insert(table).values(values).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(table).values(values).on_conflict_do_nothing()


def has_aor(table: Table) -> ColumnElement[bool]:
    """The rows of the AoR in the parameters `user` and `host`, in a table of our own."""
    return and_(table.c.username == bindparam("user"), table.c.domain == bindparam("host"))


def is_owner(dialect: Dialect, table: Table) -> ColumnElement[bool]:
    """The same in the silo, which another program may have made."""
    found = has_aor(table)
    if dialect == "mysql":
        # In tables that OpenSIPS has made bob is BOB, which RFC 3261 §19.1.4 denies: the index finds, this chooses.
        exact = cast(table.c.username, mysql.BINARY()) == cast(bindparam("user"), mysql.BINARY())
        found = and_(found, exact)
    return found
