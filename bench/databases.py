"""MariaDB and PostgreSQL servers of one's own, from Debian's packages, for the bench and for tests.

They live in a temporary directory and on one port of 127.0.0.1, and trust whoever comes. Standard library only.
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

START_SECONDS = 60  # after a crash it has to recover first
STOP_SECONDS = 30  # MariaDB writes its buffers back
DIRECTORIES = ("/usr/lib/postgresql/*/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")  # a user's PATH lacks them


class DatabaseError(Exception):
    """A database server that is not installed or does not start; the text is for the user."""


class DatabaseServer(ABC):
    """One server on `port`; its directory is made at the first start and lasts until `remove`.

    What it has committed survives all, as its defaults are; with `fast`, which syncs nothing to the disk, only `kill`.
    """

    name: str
    package: str  # Debian's
    server: str  # its program
    user: str  # of the package; the servers refuse to run as root
    scheme: str
    administrator: str
    first_database: str  # is always there
    orderly_end: signal.Signals
    quick_end: signal.Signals  # without writing anything back

    def __init__(self, port: int, fast: bool = False) -> None:
        self.port = port
        self._fast = fast
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _install_command(self, data: Path) -> list[str]:
        """What makes the data directory."""

    @abstractmethod
    def _server_command(self, data: Path) -> list[str]:
        """What runs the server."""

    @abstractmethod
    def _client_command(self, database: str) -> list[str]:
        """What runs the statements on its standard input and prints their rows."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it takes queries; it has been started before."""

    def url(self, database: str) -> str:
        """OpenSIPS' kind of URL of one of its databases, for a user who may do everything."""
        return f"{self.scheme}://{self.administrator}@127.0.0.1:{self.port}/{database}"

    @property
    def directory(self) -> Path:
        """Where its data, its log and its Unix socket are; made at the first use."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"sipsilo-{self.scheme}-"))
            if os.geteuid() == 0:
                shutil.chown(self._directory, self.user, pwd.getpwnam(self.user).pw_gid)
        return self._directory

    @property
    def pid(self) -> int:
        """Process id of the server, whose children belong to it."""
        if self._process is None:
            raise DatabaseError(f"{self.name} is not running")
        return self._process.pid

    def process_ids(self) -> list[int]:
        """It and its children."""
        return _tree(self.pid)

    @property
    def log(self) -> str:
        """What it has written since its start."""
        return (self.directory / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, again on the same data, and return when it takes queries."""
        data = self.directory / "data"
        if not data.exists():
            installer = self._run(self._install_command(data))
            if installer.wait():
                raise DatabaseError(f"{installer.args!r} failed:\n{self.log[-2000:]}")
        self._process = self._run(self._server_command(data))
        self._watch(self._process.pid)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DatabaseError(f"{self.name} does not start:\n{self.log[-2000:]}")
            time.sleep(0.02)

    def _run(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        directory = self.directory
        as_user = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}
        with (directory / "log").open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory,
                start_new_session=True,  # Ctrl-C is for us, who end it in order
                **(as_user if os.geteuid() == 0 else {}),  # type: ignore[call-overload]
            )

    def _watch(self, pid: int) -> None:
        """A shell that ends the server when we are gone without having done so: its input ends with us."""
        script = 'read _; kill -KILL "$1" $(cat "/proc/$1/task/$1/children"); sleep 1; rm -rf "$2"'
        self._guard = subprocess.Popen(
            ["sh", "-c", script, "guard", str(pid), str(self.directory)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End it in order. Nothing when it does not run."""
        self._end(self.orderly_end)

    def remove(self) -> None:
        """End it at once and remove its directory."""
        self._end(self.quick_end)
        if self._directory is not None:
            shutil.rmtree(self._directory)
        self._directory = None

    def _end(self, number: signal.Signals) -> None:
        """With a signal after which it ends its children itself; by force when that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self.continue_process()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and its children; returns when all are gone. Nothing when it does not run."""
        if self._process is None:
            return
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.kill()
            self._guard.wait()
            self._guard.stdin.close()
        tree = self._stopped_tree()
        _signal_all(tree, signal.SIGKILL)
        self._process.wait()
        while any(is_alive(pid) for pid in tree[1:]):
            time.sleep(0.005)
        self._process = None

    def stop_process(self) -> None:
        """SIGSTOP to it and its children: connections stay, and nothing answers."""
        _signal_all(self._stopped_tree()[1:], signal.SIGSTOP)

    def continue_process(self) -> None:
        """SIGCONT after `stop_process`."""
        _signal_all(self.process_ids(), signal.SIGCONT)

    def _stopped_tree(self) -> list[int]:
        """Its process ids, itself first, which is stopped so that no more children come."""
        if self._process is None or self._process.poll() is not None:
            return [self.pid]
        self._process.send_signal(signal.SIGSTOP)
        return self.process_ids()

    def run_script(self, sql: str, database: str) -> str:
        """Run statements in one of its databases; the rows as text. DatabaseError when one fails."""
        done = subprocess.run(self._client_command(database), input=sql, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DatabaseError(f"{self.name}: {done.stderr.strip()}")
        return done.stdout

    def version(self) -> str:
        """Its name and version."""
        command = [self.program(self.server), "--version"]
        words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return f"{self.name} {next(word for word in words if word[0].isdecimal())}"

    def program(self, name: str) -> str:
        """The full path of one of its programs. DatabaseError, which names the package, when it is missing."""
        # The newest of several versions of PostgreSQL.
        folders = [
            folder for pattern in DIRECTORIES for folder in sorted(glob.glob(pattern), key=_version, reverse=True)
        ]
        found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]))
        if found is None:
            raise DatabaseError(f"{name} is not installed: apt-get install {self.package}")
        return found


class MariaDb(DatabaseServer):
    """A MariaDB with the character set of Debian's settings, also on the Unix socket `directory`/socket."""

    name = "MariaDB"
    package = "mariadb-server"
    server = "mariadbd"
    user = "mysql"
    scheme = "mysql"
    administrator = "root"
    first_database = "mysql"
    orderly_end = signal.SIGTERM
    quick_end = signal.SIGKILL

    def _install_command(self, data: Path) -> list[str]:
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-log-error"]
        return [self.program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", *options]

    def _server_command(self, data: Path) -> list[str]:
        command = [self.program(self.server), "--no-defaults", f"--datadir={data}"]
        command += ["--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self.directory / 'socket'}"]
        command += ["--skip-name-resolve", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]
        if self._fast:
            command += ["--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync"]
        return command

    def _client_command(self, database: str) -> list[str]:
        command = [self.program("mariadb"), "--no-defaults", f"--user={self.administrator}", "--skip-column-names"]
        return [*command, f"--socket={self.directory / 'socket'}", database]

    def _is_ready(self) -> bool:
        """It listens when it has recovered, and then speaks first."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return len(connection.recv(5)) == 5
        except OSError:
            return False


class PostgreSql(DatabaseServer):
    """A PostgreSQL with Debian's settings, also on the Unix socket in `directory`."""

    name = "PostgreSQL"
    package = "postgresql"
    server = "postgres"
    user = "postgres"
    scheme = "postgres"
    administrator = "postgres"
    first_database = "postgres"
    orderly_end = signal.SIGINT  # SIGTERM would wait for its clients
    quick_end = signal.SIGQUIT

    def _install_command(self, data: Path) -> list[str]:
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        return [self.program("initdb"), f"--pgdata={data}", f"--username={self.administrator}", *options]

    def _server_command(self, data: Path) -> list[str]:
        command = [self.program(self.server), "-D", str(data), "-p", str(self.port)]
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}"]
        if self._fast:
            settings += ["fsync=off", "full_page_writes=off"]
        return [*command, *(word for setting in settings for word in ("-c", setting))]

    def _client_command(self, database: str) -> list[str]:
        command = [self.program("psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]
        command += ["--set=ON_ERROR_STOP=1", f"--username={self.administrator}", f"--port={self.port}"]
        return [*command, f"--host={self.directory}", database]

    def _is_ready(self) -> bool:
        """It writes that into its pid file, as pg_ctl knows: the process id first, its state on line 8."""
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


def _version(folder: str) -> list[int]:
    return [int(part) for part in folder.split("/") if part.isdecimal()]


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    return _stat_fields(pid)[:1] not in ([], ["Z"])


def _tree(root: int) -> list[int]:
    """A process and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        if fields := _stat_fields(pid):
            children.setdefault(int(fields[1]), []).append(pid)
    found = [root]
    for pid in found:  # grows while we walk
        found += children.get(pid, [])
    return found


def _signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
