"""The database of a server under test, on each of the three kinds."""

import contextlib
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from tests import databases
from tests.storage.template import put_empty_database


class Database(ABC):
    """Where a server keeps its messages."""

    url: str

    @abstractmethod
    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement, in which each `?` stands for a value."""


class SqliteFile(Database):
    """A file beside the configuration, its tables made, as that takes half a second."""

    url = "sqlite:///silo.db"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "silo.db"
        put_empty_database(self._file)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as connection:
            return connection.execute(sql, values).fetchall()


class ServerDatabase(Database):
    """A fresh database on a server; drop it after the test."""

    def __init__(self, server: databases.TestServer) -> None:
        self.server = server
        self.url = server.create_database()
        command = [sys.executable, "-m", "sipsilo", "db", "init", "--db-url", self.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.server.execute(self.url, sql, *values)

    def drop(self) -> None:
        """Drop it with all that is in it; the server runs again if it did not."""
        self.server.revive()
        self.server.drop_database(self.url)
