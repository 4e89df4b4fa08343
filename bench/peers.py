"""The servers that are compared, each behind the same small interface (`Contestant`)."""

import os
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from measure import CpuTime
from process import BenchError, Daemon, find_program, free_port
from silos import KamailioSilo, Silo, SqliteFile

START_SECONDS = 30
SETTLE_SECONDS = 0.5  # after the first answer, for what a starting server still does
KAMAILIO_CONFIG = Path(__file__).with_name("kamailio.cfg")


class Contestant(ABC):
    """A server under measurement, on a UDP port of 127.0.0.1, with its silo."""

    def __init__(self, program: str, directory: Path, silo: Silo) -> None:
        self.database = silo.database
        self.name = f"{program} on {silo.database}"
        self.port = 0
        self._directory = directory
        self._silo = silo
        self._daemon = Daemon(program, directory / "log")

    def start(self, profile: Path | None = None) -> None:
        """Starts it with an empty silo and returns when it answers; `profile`: see Sipsilo."""
        self._silo.start()
        self.restart(profile)

    @abstractmethod
    def restart(self, profile: Path | None = None) -> None:
        """Stops and starts the SIP server; what is stored stays, who is registered is forgotten."""

    def stop(self) -> None:
        """Ends all its processes; nothing when none runs."""
        self._daemon.stop()
        self._silo.stop()

    def cpu(self) -> CpuTime:
        """CPU spent since its processes started."""
        return self._silo.cpu(self._daemon.pid)

    def rows(self) -> int:
        """How many messages are stored."""
        return self._silo.rows()

    @abstractmethod
    def version(self) -> str:
        """Name and version of its programs, for the report."""


class Kamailio(Contestant):
    """Kamailio's msilo on a MariaDB or PostgreSQL."""

    def __init__(self, directory: Path, silo: KamailioSilo, children: int) -> None:
        super().__init__("Kamailio", directory, silo)
        self._program = find_program("kamailio", "kamailio")
        self.name += f" ({children} children)"
        self._children = children
        self._environment = silo.environment
        self._module = silo.module

    def restart(self, profile: Path | None = None) -> None:
        self._daemon.stop()
        self.port = free_port()
        # Ample memory; -x fm: the fastest manager of it; -b: the receive buffer. Found to be its best.
        argv = [self._program, *"-DD -E -m 1024 -M 32 -x fm -b 4194304".split(), "-f", str(KAMAILIO_CONFIG)]
        argv += ["-w", str(self._directory), "-Y", str(self._directory)]
        defines = {
            "CHILDREN": str(self._children),
            "PORT": str(self.port),
            "DBMODULE": f'"{self._module}"',
            "DBURL": f'"{self._silo.url}"',
            "OBPROXY": f'"sip:127.0.0.1:{self.port}"',
        }
        for name, value in defines.items():
            argv += ["-A", f"{name}={value}"]
        self._daemon.start(argv, cwd=self._directory, env=self._environment())
        _wait_for_answer(self.port, self._daemon)

    def version(self) -> str:
        return f"Kamailio {_first_line([self._program, '-v']).split()[2]}, {self._silo.version()}"


class Sipsilo(Contestant):
    """sipsilo on any database. With `profile`: under cProfile, which writes that file at the stop."""

    def __init__(self, directory: Path, silo: Silo) -> None:
        super().__init__("sipsilo", directory, silo)
        if find_spec("sipsilo") is None:
            raise BenchError(f"{sys.executable} has no sipsilo: use the virtual environment's (make bench)")

    def start(self, profile: Path | None = None) -> None:
        self._silo.start()
        if not isinstance(self._silo, SqliteFile):  # that one makes itself
            self._run_to_end("db", "init", "--db-url", self._silo.url)
        self.restart(profile)

    def _run_to_end(self, *arguments: str) -> None:
        self._daemon.start([sys.executable, "-m", "sipsilo", *arguments], self._directory, _own_environment())
        if self._daemon.wait():
            raise BenchError(f"sipsilo {' '.join(arguments)} failed:\n{self._daemon.output[-2000:]}")

    def restart(self, profile: Path | None = None) -> None:
        self._daemon.stop()
        profiler = ["-m", "cProfile", "-o", str(profile)] if profile else []
        argv = [sys.executable, *profiler, "-m", "sipsilo", "run"]
        argv += ["--listen", "udp:127.0.0.1:0", "--domain", "bench.test"]
        argv += ["--db-url", self._silo.url]
        self._daemon.start(argv, cwd=self._directory, env=_own_environment())
        ready = self._daemon.wait_for("sipsilo ready:", START_SECONDS)
        if ready is None:
            raise BenchError(f"sipsilo did not say that it is ready:\n{self._daemon.output[-2000:]}")
        self.port = int(ready.split()[0].rpartition(":")[2])
        time.sleep(SETTLE_SECONDS)

    def version(self) -> str:
        parser = find_spec("sipsilo.sip.parser")
        kind = "uncompiled" if parser and str(parser.origin).endswith(".py") else "compiled"
        return f"sipsilo, {kind}, on Python {sys.version.split()[0]}, {self._silo.version()}"


def _own_environment() -> dict[str, str]:
    """Ours without SIPSILO_ settings: only the flags of the command line count."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SIPSILO_")}


def _first_line(argv: list[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[0]


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
