"""The servers that are compared, each behind the same small interface (`Contestant`)."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from measure import CpuTime, main_thread_cpu, tree_cpu
from process import BenchError, Daemon, find_program

START_SECONDS = 30
SETTLE_SECONDS = 0.5  # after the first answer, for what a starting server still does
COUNT_ROWS = "SELECT count(*) FROM silo"

SCHEMA = Path("/usr/share/kamailio/mysql")
KAMAILIO_CONFIG = Path(__file__).with_name("kamailio.cfg")


class Contestant(ABC):
    """A server under measurement, on a UDP port of 127.0.0.1, with its database."""

    name: str
    port: int

    @abstractmethod
    def start(self, profile: Path | None = None) -> None:
        """Starts it with an empty silo and returns when it answers; `profile`: see Sipsilo."""

    @abstractmethod
    def restart(self, profile: Path | None = None) -> None:
        """Stops and starts the SIP server; what is stored stays, who is registered is forgotten."""

    @abstractmethod
    def stop(self) -> None:
        """Ends all its processes; nothing when none runs."""

    @abstractmethod
    def cpu(self) -> CpuTime:
        """CPU spent since its processes started."""

    @abstractmethod
    def rows(self) -> int:
        """How many messages are stored."""

    @abstractmethod
    def version(self) -> str:
        """Name and version of its programs, for the report."""


class MariaDB:
    """A private MariaDB with its default settings (each commit is flushed), reached by a Unix socket only."""

    def __init__(self, directory: Path) -> None:
        self._server = find_program("mariadbd", "mariadb-server")
        self._installer = find_program("mariadb-install-db", "mariadb-server")
        self._client = find_program("mariadb", "mariadb-client")
        self._directory = directory
        self._data = directory / "data"
        self.socket = directory / "mariadb.sock"
        self._daemon = Daemon("mariadbd", directory / "mariadbd.log")
        # mariadbd refuses to run as root; the package brings a user for it.
        self._as_user = ["--user=mysql"] if os.geteuid() == 0 else []

    def start(self) -> None:
        """Starts it; makes the database with Kamailio's own schema the first time."""
        first = not self._data.exists()
        if first:
            self._install()
        argv = [self._server, "--no-defaults", *self._as_user, "--skip-networking"]
        argv += [f"--datadir={self._data}", f"--socket={self.socket}"]
        self._daemon.start(argv, cwd=self._directory)
        self._wait()
        if first:
            self.execute(
                "CREATE DATABASE kamailio; CREATE USER kamailio@localhost IDENTIFIED BY 'kamailiorw';"
                "GRANT ALL ON kamailio.* TO kamailio@localhost; USE kamailio;"
                + "".join((SCHEMA / f"{part}-create.sql").read_text() for part in ("standard", "msilo")),
                database="mysql",
            )

    def _install(self) -> None:
        self._data.mkdir()
        if self._as_user:
            for path in (self._directory, self._data):
                shutil.chown(path, "mysql", "mysql")
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        argv = [self._installer, "--no-defaults", *self._as_user, f"--datadir={self._data}", *options]
        installer = Daemon("mariadb-install-db", self._directory / "install.log")
        try:
            installer.start(argv, cwd=self._directory)
            if installer.wait():
                raise BenchError(f"mariadb-install-db failed:\n{installer.output[-2000:]}")
        finally:
            installer.stop()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.execute("SELECT 1", database="mysql")
                return
            except BenchError:
                self._daemon.check_alive()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def execute(self, sql: str, database: str = "kamailio") -> str:
        """Runs statements as the database's root; the rows as text."""
        argv = [self._client, "--no-defaults", "-uroot", f"--socket={self.socket}", "-N", database]
        done = subprocess.run(argv, input=sql, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"mariadb: {done.stderr.strip()}")
        return done.stdout

    def stop(self) -> None:
        self._daemon.stop()

    @property
    def pid(self) -> int:
        return self._daemon.pid

    def version(self) -> str:
        return "MariaDB " + _first_line([self._server, "--version"]).split("Ver ")[-1].split()[0]


class Kamailio(Contestant):
    """Kamailio's msilo on a MariaDB."""

    def __init__(self, directory: Path, database: MariaDB, children: int) -> None:
        self._program = find_program("kamailio", "kamailio")
        if not SCHEMA.exists():
            raise BenchError("Kamailio's db_mysql is not installed: apt-get install kamailio-mysql-modules")
        self.name = f"Kamailio ({children} children)"
        self.port = 0
        self._children = children
        self._directory = directory
        self._database = database
        self._daemon = Daemon("kamailio", directory / "kamailio.log")

    def start(self, profile: Path | None = None) -> None:
        self._database.start()
        self._database.execute("TRUNCATE TABLE silo")
        self._start_kamailio()

    def restart(self, profile: Path | None = None) -> None:
        self._daemon.stop()
        self._start_kamailio()

    def _start_kamailio(self) -> None:
        self.port = _free_port()
        # Ample memory; -x fm: the fastest manager of it; -b: the receive buffer. Found to be its best.
        argv = [self._program, *"-DD -E -m 1024 -M 32 -x fm -b 4194304".split(), "-f", str(KAMAILIO_CONFIG)]
        argv += ["-w", str(self._directory), "-Y", str(self._directory)]
        defines = {
            "CHILDREN": str(self._children),
            "PORT": str(self.port),
            "DBURL": '"mysql://kamailio:kamailiorw@localhost/kamailio"',
            "OBPROXY": f'"sip:127.0.0.1:{self.port}"',
        }
        for name, value in defines.items():
            argv += ["-A", f"{name}={value}"]
        env = {**os.environ, "MYSQL_UNIX_PORT": str(self._database.socket)}
        self._daemon.start(argv, cwd=self._directory, env=env)
        _wait_for_answer(self.port, self._daemon)

    def stop(self) -> None:
        self._daemon.stop()
        self._database.stop()

    def cpu(self) -> CpuTime:
        return CpuTime(server=tree_cpu(self._daemon.pid), database=tree_cpu(self._database.pid))

    def rows(self) -> int:
        return int(self._database.execute(COUNT_ROWS))

    def version(self) -> str:
        return f"Kamailio {_first_line([self._program, '-v']).split()[2]} on {self._database.version()}"


class Sipsilo(Contestant):
    """sipsilo on an SQLite file. With `profile`: under cProfile, which writes that file at the stop."""

    name = "sipsilo"

    def __init__(self, directory: Path) -> None:
        if find_spec("sipsilo") is None:
            raise BenchError(f"{sys.executable} has no sipsilo: use the virtual environment's (make bench)")
        self.port = 0
        self._directory = directory
        self._file = directory / "silo.db"
        self._daemon = Daemon("sipsilo", directory / "sipsilo.log")

    def start(self, profile: Path | None = None) -> None:
        for file in self._directory.glob("silo.db*"):
            file.unlink()
        self.restart(profile)

    def restart(self, profile: Path | None = None) -> None:
        self._daemon.stop()
        profiler = ["-m", "cProfile", "-o", str(profile)] if profile else []
        argv = [sys.executable, *profiler, "-m", "sipsilo", "run"]
        argv += ["--listen", "udp:127.0.0.1:0", "--domain", "bench.test"]
        argv += ["--db-url", f"sqlite:///{self._file}"]
        self._daemon.start(argv, cwd=self._directory, env=_own_environment())
        ready = self._daemon.wait_for("sipsilo ready:", START_SECONDS)
        if ready is None:
            raise BenchError(f"sipsilo did not say that it is ready:\n{self._daemon.output[-2000:]}")
        self.port = int(ready.split()[0].rpartition(":")[2])
        time.sleep(SETTLE_SECONDS)

    def stop(self) -> None:
        self._daemon.stop()

    def cpu(self) -> CpuTime:
        """SQLite lives in sipsilo's process, on a thread of its own: the main thread is the server."""
        server = main_thread_cpu(self._daemon.pid)
        return CpuTime(server=server, database=tree_cpu(self._daemon.pid) - server)

    def rows(self) -> int:
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True, timeout=20)) as connection:
            return int(connection.execute(COUNT_ROWS).fetchone()[0])

    def version(self) -> str:
        return f"sipsilo on Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"


def _own_environment() -> dict[str, str]:
    """Ours without SIPSILO_ settings: only the flags of the command line count."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SIPSILO_")}


def _first_line(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0]


def _free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_answer(port: int, daemon: Daemon) -> None:
    """Sends OPTIONS until something comes back, then lets the server settle."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.connect(("127.0.0.1", port))
        probe.settimeout(0.1)
        deadline = time.monotonic() + START_SECONDS
        for attempt in range(10**6):
            daemon.check_alive()
            if time.monotonic() > deadline:
                raise BenchError(f"{daemon.name} does not answer on port {port}:\n{daemon.output[-2000:]}")
            try:
                probe.send(_options_request(probe.getsockname()[1], attempt))
                probe.recv(65536)
                break
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(0.1)
    time.sleep(SETTLE_SECONDS)


def _options_request(port: int, attempt: int) -> bytes:
    lines = (
        "OPTIONS sip:bench.test SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKprobe{attempt};rport",
        "Max-Forwards: 70",
        f"From: <sip:probe@bench.test>;tag={attempt}",
        "To: <sip:bench.test>",
        f"Call-ID: probe{attempt}@127.0.0.1",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
