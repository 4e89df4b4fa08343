"""What a database has of our tables, and what it lacks.

The silo may be another program's: OpenSIPS' (version 6 of its table) or Kamailio's (version 8), with whatever types its
SQL gave the columns. It is usable once it has the columns that those lack.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Inspector, LargeBinary, String, Table, inspect, text
from sqlalchemy.types import TypeEngine

from sipsilo.silo.repository import RepositoryError
from sipsilo.storage.tables import SiloNames, Tables

VERSION_TABLE = "sipsilo_version"
HEAD = "0001"
"""The last migration (storage/migrations/versions), which this program needs."""

NEEDED = ("src_addr", "dst_addr", "username", "domain", "inc_time", "exp_time", "snd_time", "ctype", "body")
"""What each program's silo has, by our keys; a table without them is no silo."""

WIDENED = ("ctype", "callid")
"""Columns that other programs make too narrow; theirs are widened to our length."""

PARAMETERS = {
    "mid": "sc_mid",
    "src_addr": "sc_from",
    "dst_addr": "sc_to",
    "username": "sc_uri_user",
    "domain": "sc_uri_host",
    "body": "sc_body",
    "ctype": "sc_ctype",
    "exp_time": "sc_exp_time",
    "inc_time": "sc_inc_time",
    "snd_time": "sc_snd_time",
    "extra_hdrs": "sc_stored_hdrs",
    "callid": "sc_callid",
    "status": "sc_status",
}
"""The parameter that names each column (guide chapter 1.3)."""

# MySQL's sizes in bytes of types without a length
_MYSQL_SIZES = {"TINY": 2**8 - 1, "": 2**16 - 1, "MEDIUM": 2**24 - 1, "LONG": 2**32 - 1}


class SchemaError(RepositoryError):
    """The tables are not what we need; the text says what is wrong, and what mends it, in one line."""


class SiloColumn(NamedTuple):
    """A column of the silo as the database has it.

    `is_text`: it holds characters, not bytes. `size`: how many of them, None where there is no limit to speak of;
    bytes where `counts_bytes`, else characters. `nullable`: whether it takes NULL.
    """

    is_text: bool
    size: int | None
    counts_bytes: bool
    nullable: bool

    def fits(self, value: str | bytes) -> bool:
        """Whether the column holds a value whole."""
        if self.size is None:
            return True
        counted = value.encode("utf-8", "surrogateescape") if self.counts_bytes and isinstance(value, str) else value
        return len(counted) <= self.size


@dataclass(frozen=True, slots=True)
class Schema:
    """A silo that can be worked with: its names in this database, and its columns by key (those that it has)."""

    names: SiloNames
    columns: Mapping[str, SiloColumn]

    @property
    def tables(self) -> Tables:
        """All tables, for a server's own work."""
        return Tables(self.names, headers_are_text=self.columns["extra_hdrs"].is_text)


Command = Literal["init", "upgrade"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at a database found. `problems`: one line each; `command` of `sipsilo db` mends them all.

    `has_silo`: there is a table of that name.
    """

    names: SiloNames
    has_silo: bool
    problems: Sequence[str] = ()
    command: Command | None = None


def names_of(table: str, columns: Mapping[str, str]) -> SiloNames:
    """What the parameters call the silo: `table` is db_table, `columns` what each sc_… says."""
    return SiloNames(table=table, **{key: columns[parameter] for key, parameter in PARAMETERS.items()})


def resolve_names(inspector: Inspector, names: SiloNames) -> SiloNames:
    """The names as they are in this database: the number is `id` in a table that has this and no `mid`.

    That is what the SQL of OpenSIPS and of Kamailio creates; a chosen sc_mid stays as it is.
    """
    if names.mid != SiloNames.mid or not inspector.has_table(names.table):
        return names
    found = _columns(inspector, names.table)
    return replace(names, mid="id") if "id" in found and names.mid not in found else names


def look(connection: Connection, names: SiloNames) -> Finding:
    """Compare a database with what this program needs. Raises SchemaError when the silo is none at all."""
    inspector = inspect(connection)
    names = resolve_names(inspector, names)
    tables = Tables(names)
    there = set(inspector.get_table_names())
    if names.table not in there:
        return Finding(names, False, [f"there is no table {names.table}"], "init")
    check_is_silo(inspector, names)
    problems = _version_problems(connection, there)
    for table in tables.metadata.sorted_tables:
        if table.name in there:
            problems += _table_problems(inspector, table)
        else:
            problems.append(f"there is no table {table.name}")
    return Finding(names, True, problems, "upgrade" if problems else None)


def check_is_silo(inspector: Inspector, names: SiloNames) -> None:
    """Raises SchemaError for a table without the columns that every silo has."""
    found = _columns(inspector, names.table)
    if names.mid not in found:
        either = "neither mid nor id" if names.mid == SiloNames.mid else f"no column {names.mid}"
        raise SchemaError(f"table {names.table} has {either}; accepted: sc_mid with the name of its number")
    for key in NEEDED:
        name = getattr(names, key)
        if name not in found:
            accepted = f"{PARAMETERS[key]} with its name there"
            raise SchemaError(f"table {names.table} has no column {name}; accepted: {accepted}")


def _version_problems(connection: Connection, there: set[str]) -> list[str]:
    if VERSION_TABLE not in there:
        return [f"there is no table {VERSION_TABLE}"]
    version = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if version is not None and version > HEAD:
        raise SchemaError(f"the tables have version {version}, of a newer sipsilo; this one knows {HEAD}")
    return [] if version == HEAD else [f"the tables have version {version or 'none'}; needed: {HEAD}"]


def _table_problems(inspector: Inspector, table: Table) -> list[str]:
    found = _columns(inspector, table.name)
    lacking = [column.name for column in table.c if column.name not in found]
    problems = [f"table {table.name} has no column {', '.join(lacking)}"] if lacking else []
    for column in narrow_columns(inspector, table):
        length = found[column]["type"].length
        problems.append(f"column {column} of table {table.name} holds {length} characters, not 255")
    if not lacking:
        missing = ", ".join(str(index.name) for index in missing_indexes(inspector, table))
        problems += [f"table {table.name} has no index {missing}"] if missing else []
    return problems


def narrow_columns(inspector: Inspector, table: Table) -> list[str]:
    """Names of the columns to widen. SQLite's lengths mean nothing."""
    if inspector.dialect.name == "sqlite":
        return []
    found = _columns(inspector, table.name)
    narrow = []
    for column in table.c:
        there = found.get(column.name)
        length = None if there is None else getattr(there["type"], "length", None)
        if column.key in WIDENED and length is not None and length < getattr(column.type, "length", 0):
            narrow.append(column.name)
    return narrow


def missing_indexes(inspector: Inspector, table: Table) -> list[Any]:
    """Our indexes of a table that it has under no name: Kamailio's own on the owner is as good as ours."""
    there = [index["column_names"] for index in inspector.get_indexes(table.name)]
    missing = []
    for index in table.indexes:
        columns = [column.name for column in index.columns]
        if not any(found[: len(columns)] == columns for found in there):
            missing.append(index)
    return sorted(missing, key=lambda index: str(index.name))


def read_schema(connection: Connection, names: SiloNames) -> Schema:
    """A silo's columns as they are, ours or not. `names` are those of this database (`resolve_names`)."""
    found = _columns(inspect(connection), names.table)
    silo = Tables(names).silo
    dialect = connection.dialect.name
    columns = {
        column.key: _column(found[column.name], column.type, dialect) for column in silo.c if column.name in found
    }
    return Schema(names, columns)


def _column(found: Mapping[str, Any], ours: TypeEngine[Any], dialect: str) -> SiloColumn:
    kind: TypeEngine[Any] = found["type"]
    is_text = isinstance(kind, String)
    nullable = bool(found["nullable"])
    if dialect == "sqlite":
        # it keeps what it is given, so our own lengths hold
        return SiloColumn(is_text, getattr(ours, "length", None), isinstance(ours, LargeBinary), nullable)
    length = getattr(kind, "length", None)
    if length is None and dialect in ("mysql", "mariadb"):
        prefix = kind.__visit_name__.upper().removesuffix("BLOB").removesuffix("TEXT")
        return SiloColumn(is_text, _MYSQL_SIZES.get(prefix), True, nullable)
    return SiloColumn(is_text, length, not is_text, nullable)


def _columns(inspector: Inspector, table: str) -> dict[str, Any]:
    return {column["name"]: column for column in inspector.get_columns(table)}
