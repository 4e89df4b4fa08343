"""From a URL to an engine."""

from pathlib import Path

import sqlalchemy

from sipsilo.storage.engine import Engine, StorageError, first_line
from sipsilo.storage.tables import Tables
from sipsilo.storage.urls import DatabaseUrl, connect_arguments, sqlalchemy_url


def create_engine(url: DatabaseUrl, connections: int, max_pending: int) -> Engine:
    """The engine for a database that `storage.urls.parse_url` has read; drivers are loaded for it alone.

    `connections` to a server, of which SQLite has none.
    """
    match url.kind:
        case "mysql":
            from sipsilo.storage.mysql import MysqlEngine

            return MysqlEngine(connect_arguments(url), connections, max_pending)
        case "postgresql":
            from sipsilo.storage.postgresql import PostgresqlEngine

            return PostgresqlEngine(connect_arguments(url), connections, max_pending)
        case "sqlite":
            from sipsilo.storage.sqlite import SqliteEngine

            return SqliteEngine(Path(url.path), max_pending)
        case "text":
            raise ValueError("dbtext is for import and export only")


async def open_tables(url: DatabaseUrl, tables: Tables) -> None:
    """Create the tables that are missing. Raises StorageError."""
    if url.kind == "sqlite":
        try:
            Path(url.path).parent.mkdir(parents=True, exist_ok=True)
            schema = sqlalchemy.create_engine(sqlalchemy_url(url))
            tables.metadata.create_all(schema)
            schema.dispose()
        except Exception as error:
            raise StorageError(f"cannot open {url.path}: {first_line(error)}") from error
