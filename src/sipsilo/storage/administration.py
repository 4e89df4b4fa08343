"""Making, upgrading and checking the tables: `sipsilo db`, and what a server asks at its start."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table

from sipsilo.storage.access import connect
from sipsilo.storage.schema import VERSION_TABLE, Finding, Schema, SchemaError, look, read_schema
from sipsilo.storage.tables import SiloNames
from sipsilo.storage.urls import shown

_MIGRATIONS = Path(__file__).with_name("migrations")


async def open_schema(url: str, names: SiloNames) -> Schema:
    """The silo of a database, for a server that starts; its tables are complete.

    A SQLite file is made or upgraded when it needs that; on a database server this is the operator's, and one line says
    what to type. `names`: as configured. Raises SchemaError, DatabaseError.
    """
    is_file = url.startswith("sqlite:")
    async with connect(url, create=is_file) as access:
        return await access.run(_open, names, url, is_file)


async def check_schema(url: str, names: SiloNames) -> Schema:
    """The silo of a database whose tables are complete, and are not touched. Raises SchemaError, DatabaseError."""
    async with connect(url) as access:
        return await access.run(_open, names, url, False)


def _open(connection: Connection, names: SiloNames, url: str, migrate: bool) -> Schema:
    finding = _look(connection, names, url)
    if finding.problems:
        if not migrate:
            raise SchemaError(f"{shown(url)}: {finding.problems[0]}; type: sipsilo db {finding.command}")
        _migrate(connection, finding)
    return read_schema(connection, finding.names)


async def init(url: str, names: SiloNames) -> None:
    """Make all tables in a database that has no silo. Raises SchemaError, DatabaseError."""
    async with connect(url, create=True) as access:
        await access.run(_init, names, url)


def _init(connection: Connection, names: SiloNames, url: str) -> None:
    finding = _look(connection, names, url)
    if finding.has_silo:
        more = "; type: sipsilo db upgrade" if finding.problems else " and has all that sipsilo needs"
        raise SchemaError(f"{shown(url)}: table {names.table} exists already{more}")
    _migrate(connection, finding)


async def upgrade(url: str, names: SiloNames) -> Sequence[str]:
    """Give the tables what they lack; that, one line each. Raises SchemaError, DatabaseError."""
    async with connect(url) as access:
        return await access.run(_upgrade, names, url)


def _upgrade(connection: Connection, names: SiloNames, url: str) -> Sequence[str]:
    finding = _look(connection, names, url)
    if not finding.has_silo:
        raise SchemaError(f"{shown(url)}: {finding.problems[0]}; type: sipsilo db init")
    if finding.problems:
        _migrate(connection, finding)
    return finding.problems


async def check(url: str, names: SiloNames) -> Finding:
    """All that is wrong with the tables. Raises SchemaError for what no command mends, DatabaseError."""
    async with connect(url) as access:
        return await access.run(_look, names, url)


def _look(connection: Connection, names: SiloNames, url: str) -> Finding:
    try:
        return look(connection, names)
    except SchemaError as error:
        raise SchemaError(f"{shown(url)}: {error}") from None


def _migrate(connection: Connection, finding: Finding) -> None:
    """Run the migrations that have not been run; all of them, when the tables lack something even so."""
    from alembic import command  # takes a while to load, and a start seldom needs it
    from alembic.config import Config

    connection.commit()
    connection.execution_options(sqlite_begin="IMMEDIATE")  # two servers may start at once on one new file
    # alembic would name the key of its table, of which MySQL warns
    Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True)).create(
        connection, checkfirst=True
    )
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=connection, names=finding.names)
    command.upgrade(config, "head")
    if look(connection, finding.names).problems:
        command.stamp(config, "base")
        command.upgrade(config, "head")
    connection.commit()
