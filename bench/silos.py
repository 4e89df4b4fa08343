"""Where a contestant stores its messages: an SQLite file, or a database of its own on a MariaDB or PostgreSQL."""

import os
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path

from databases import DatabaseServer
from measure import CpuTime, main_thread_cpu, tree_cpu
from process import BenchError

COUNT_ROWS = "SELECT count(*) FROM silo"


class Silo(ABC):
    """One contestant's messages and the database that keeps them."""

    database: str
    url: str

    @abstractmethod
    def start(self) -> None:
        """Runs its server and makes an empty database."""

    @abstractmethod
    def stop(self) -> None:
        """Ends its server; nothing when it has none or it does not run."""

    @abstractmethod
    def rows(self) -> int:
        """How many messages are stored."""

    @abstractmethod
    def cpu(self, pid: int) -> CpuTime:
        """CPU of a SIP server, by its process id, and of this database since their processes started."""

    @abstractmethod
    def version(self) -> str:
        """The database's name and version."""


class SqliteFile(Silo):
    """A file that sipsilo makes."""

    database = "SQLite"

    def __init__(self, directory: Path) -> None:
        self._file = directory / "silo.db"
        self.url = f"sqlite:///{self._file}"

    def start(self) -> None:
        for file in self._file.parent.glob("silo.db*"):
            file.unlink()

    def stop(self) -> None:
        pass

    def rows(self) -> int:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=20)) as connection:
            return int(connection.execute(COUNT_ROWS).fetchone()[0])

    def cpu(self, pid: int) -> CpuTime:
        """SQLite lives in the SIP server's process, on a thread of its own: the main thread is the server."""
        server = main_thread_cpu(pid)
        return CpuTime(server=server, database=tree_cpu(pid) - server)

    def version(self) -> str:
        return f"SQLite {sqlite3.sqlite_version}"


class ServerSilo(Silo):
    """A database called `name` on a server that several contestants use in turn."""

    def __init__(self, server: DatabaseServer, name: str) -> None:
        server.program(server.server)  # missing: said before anything is measured
        self.server = server
        self.database = server.name
        self.name = name
        self.url = server.url(name)

    def start(self) -> None:
        self.server.start()
        self.server.run_script(f"DROP DATABASE IF EXISTS {self.name};", self.server.first_database)
        self.server.run_script(f"CREATE DATABASE {self.name};", self.server.first_database)

    def stop(self) -> None:
        self.server.stop()

    def rows(self) -> int:
        return int(self.server.run_script(COUNT_ROWS, self.name))

    def cpu(self, pid: int) -> CpuTime:
        return CpuTime(server=tree_cpu(pid), database=tree_cpu(self.server.pid))

    def version(self) -> str:
        return self.server.version()


class KamailioSilo(ServerSilo):
    """With the tables that Kamailio brings for that database. Kamailio reaches it by its Unix socket."""

    def __init__(self, server: DatabaseServer, name: str) -> None:
        super().__init__(server, name)
        self.module = f"db_{server.scheme}.so"
        self._schema = Path("/usr/share/kamailio") / server.scheme
        if not self._schema.exists():
            package = f"kamailio-{server.scheme}-modules"
            raise BenchError(f"Kamailio's {self.module} is not installed: apt-get install {package}")
        host = {"mysql": "localhost", "postgres": ""}[server.scheme]  # both mean: the Unix socket
        self.url = f"{server.scheme}://{server.administrator}@{host}/{name}"

    def start(self) -> None:
        super().start()
        tables = "".join((self._schema / f"{part}-create.sql").read_text() for part in ("standard", "msilo"))
        self.server.run_script(tables, self.name)

    def environment(self) -> dict[str, str]:
        """Tells the client libraries where the Unix socket is."""
        directory, port = str(self.server.directory), str(self.server.port)
        return {**os.environ, "MYSQL_UNIX_PORT": f"{directory}/socket", "PGHOST": directory, "PGPORT": port}
