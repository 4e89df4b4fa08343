"""The load generator: siploadgen.c, compiled into the scratch directory, and its results."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from measure import tree_cpu
from process import BenchError, Daemon, find_program

SOURCE = Path(__file__).with_name("siploadgen.c")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the requests of one run; times in seconds, `started` on the monotonic clock."""

    accepted: int
    refused: int
    timeouts: int
    retransmissions: int
    started: float
    elapsed: float
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class Received:
    """What the sink got; `first`, `last`: monotonic times of the first and the last message that was new."""

    requests: int
    distinct: int
    retransmissions: int
    duplicates: int
    inversions: int
    strangers: int
    first: float
    last: float


class Generator:
    """The compiled program; each method is one run of it against a server on 127.0.0.1:`port`."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.program = str(scratch / "siploadgen")
        compiler = find_program("gcc", "gcc libc6-dev")
        subprocess.run([compiler, "-O2", "-o", self.program, str(SOURCE), "-lm"], check=True)

    def _send(self, mode: str, port: int, **options: str | int) -> Sent:
        argv = [self.program, mode, "--target", f"127.0.0.1:{port}"]
        for name, value in options.items():
            argv += [f"--{name}", str(value)]
        # Its exit status only repeats that something was not accepted, which the figures say.
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
        if not done.stdout:
            raise BenchError(f"siploadgen {mode} failed (status {done.returncode})")
        return Sent(**json.loads(done.stdout))

    def store(self, port: int, run: str, count: int, users: int, window: int) -> Sent:
        """`count` MESSAGEs to `users` users in turn, `window` in flight."""
        return self._send("store", port, run=run, count=count, users=users, window=window)

    def store_at_rate(self, port: int, run: str, count: int, users: int, rate: int) -> Sent:
        """`count` MESSAGEs to `users` users in turn, `rate` a second whatever the answers."""
        return self._send("store", port, run=run, count=count, users=users, rate=rate)

    def register(self, port: int, users: int, contact_port: int) -> Sent:
        """REGISTERs of all users at once, with the sink as their contact."""
        return self._send("register", port, users=users, window=users, contact=f"127.0.0.1:{contact_port}")


class Sink:
    """A running sink for `count` messages of `run` to `users` users. A context manager."""

    def __init__(self, generator: Generator, run: str, count: int, users: int) -> None:
        self._daemon = Daemon("siploadgen sink", generator.scratch / "sink.log")
        self._argv = [generator.program, "sink", "--run", run, "--count", str(count), "--users", str(users)]
        self._cwd = generator.scratch
        self.port = 0

    def __enter__(self) -> Self:
        self._daemon.start(self._argv, self._cwd)
        self.port = int(self._daemon.wait_for("ready ", 5) or 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemon.stop()

    def wait_until_complete(self, seconds: float) -> bool:
        """Whether each message has arrived within that time."""
        return self._daemon.wait_for("complete", seconds) is not None

    def cpu_seconds(self) -> float:
        """CPU that it has taken so far."""
        return tree_cpu(self._daemon.pid)

    def stop(self) -> Received:
        """Ends the sink and returns its counts."""
        self._daemon.stop()
        result: dict[str, Any] = json.loads(self._daemon.output.splitlines()[-1])
        return Received(**result)
