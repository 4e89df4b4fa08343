"""From a URL to an engine."""

from pathlib import Path

from sipsilo.storage.engine import Engine
from sipsilo.storage.urls import DatabaseUrl, connect_arguments


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
