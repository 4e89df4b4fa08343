"""Databases of all kinds for tests of their administration: an empty one each, by its URL."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.databases import TestServer

KINDS = ("sqlite", "mariadb", "postgresql")


@dataclass(frozen=True)
class Place:
    """An empty database."""

    kind: str
    url: str
    server: TestServer | None = None

    def execute(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
        """What another program would do, or see: one committed statement; each `?` in it stands for a value."""
        if self.server is not None:
            return self.server.execute(self.url, sql, *values)
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def run_script(self, sql: str) -> None:
        """Statements with a semicolon behind each."""
        for statement in sql.split(";"):
            if statement.strip():
                self.execute(statement)


@contextmanager
def empty_database(request: pytest.FixtureRequest, kind: str, directory: Path) -> Iterator[Place]:
    """One of a kind, dropped at the end."""
    if kind == "sqlite":
        yield Place(kind, f"sqlite:///{directory / 'silo.db'}")
        return
    server: TestServer = request.getfixturevalue(f"fast_{kind}_server")
    url = server.create_database()
    yield Place(kind, url, server)
    server.drop_database(url)
