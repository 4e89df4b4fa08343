"""Programs that the bench needs and processes that it starts; each is ended by its process id."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

STOP_SECONDS = 30  # a graceful stop: MariaDB writes its buffers back, Kamailio waits for its children
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # where servers are, and where a user's PATH does not look


class BenchError(Exception):
    """The bench cannot go on; the text is one line for the user."""


def find_program(name: str, package: str) -> str:
    """The full path of a program. BenchError, which names the Debian package, when there is none."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":" + SYSTEM_PATH)
    if not found:
        raise BenchError(f"{name} is not installed: apt-get install {package}")
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and for TCP.

    It lies below those that the kernel gives out, so that no other socket takes it before its server does.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port


class Daemon:
    """A server process whose output goes to a log file."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id. BenchError when it does not run."""
        if not self._process:
            raise BenchError(f"{self.name} is not running")
        return self._process.pid

    @property
    def output(self) -> str:
        """All that it has printed since its start."""
        return self._log.read_text(errors="replace")

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        """In a session of its own, so that Ctrl-C reaches only us and we stop the processes in order."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )

    def wait_for(self, prefix: str, seconds: float) -> str | None:
        """What follows `prefix` on the first line of the output that begins with it; None after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            ended = time.monotonic() > deadline
            for line in self.output.splitlines():
                if line.startswith(prefix):
                    return line[len(prefix) :].strip()
            if ended:
                return None
            self.check_alive()
            time.sleep(0.02)

    def wait(self) -> int:
        """Waits until it ends by itself; its exit status."""
        return self._process.wait() if self._process else 0

    def check_alive(self) -> None:
        """BenchError with the end of its output when the process has ended by itself."""
        if self._process and self._process.poll() is not None:
            raise BenchError(f"{self.name} ended (status {self._process.returncode}):\n{self.output[-2000:]}")

    def stop(self) -> None:
        """SIGTERM; SIGKILL after STOP_SECONDS, and to children that outlive it. Nothing when none runs."""
        if self._process:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None  # last, so that a stop that was interrupted can be done again
