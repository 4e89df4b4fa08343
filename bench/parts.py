"""The three measurements: what is done to a contestant, and which figures come out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loadgen import Generator, Received, Sink
from measure import PROCESSORS, CpuTime, machine_cpu, own_cpu
from peers import Contestant

STORE_USERS = 1000  # recipients of the stores and of the latency measurement
WINDOW = 256  # MESSAGEs in flight
WARM_UP = 2000
REST_SECONDS = 1.0  # between warm-up and latency measurement, for what the servers do afterwards
DELIVER_USERS = 200
RATE = 200  # MESSAGEs a second of the latency measurement
ARRIVAL_SECONDS = 90  # by then everything has arrived, or the rest counts as not delivered
CLEAN_UP_SECONDS = 30  # by then the server has deleted what it has delivered
POLL_SECONDS = 0.5  # seldom, as each look costs the database some CPU
LATE_SECONDS = 1.0  # how long the sink waits for packets that are sent needlessly
NOISY = 0.15  # share of the machine that others may take before a run is called noisy


@dataclass(slots=True)
class Run:
    """One measurement of one contestant: figures by name (CPU in µs per message) and what went wrong."""

    part: str
    contestant: str
    figures: dict[str, float]
    faults: list[str] = field(default_factory=list)
    noise: float = 0.0  # share of the machine that neither the contestant nor the bench took

    @property
    def noisy(self) -> bool:
        """Whether others disturbed it too much to trust it alone."""
        return self.noise > NOISY


class Clock:
    """CPU of the contestant, of the bench and of the machine, from its creation on."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._started = time.monotonic()
        self._cpu = contestant.cpu()
        self._others = self._other_cpu(self._cpu)

    def _other_cpu(self, contestant: CpuTime) -> float:
        return machine_cpu() - contestant.total - own_cpu()

    def read(self, running: float = 0.0) -> tuple[CpuTime, float]:
        """CPU seconds of the contestant, and the share of the machine that others took.

        The bench's own CPU counts among neither; `running`: that of its processes that still run.
        """
        cpu = self._contestant.cpu()
        others = self._other_cpu(cpu) - self._others - running
        elapsed = time.monotonic() - self._started
        return cpu - self._cpu, max(others, 0.0) / (elapsed * PROCESSORS)


def per_second(messages: int, seconds: float) -> float:
    """0 when there were none: then the time says nothing."""
    return messages / seconds if messages else 0.0


def cpu_figures(spent: CpuTime, messages: int) -> dict[str, float]:
    """CPU µs per message: all, server, database."""
    scale = 1e6 / max(messages, 1)
    figures = {"cpu": spent.total, "cpu_server": spent.server, "cpu_database": spent.database}
    return {name: seconds * scale for name, seconds in figures.items()}


def store(server: Contestant, generator: Generator, count: int, profile: Path | None) -> Run:
    """`count` MESSAGEs to absent users, WINDOW in flight, each answered 202 when it is durable."""
    server.start(profile)
    generator.store(server.port, "warm", WARM_UP, STORE_USERS, WINDOW)
    rows = server.rows()
    clock = Clock(server)
    sent = generator.store(server.port, "store", count, STORE_USERS, WINDOW)
    spent, noise = clock.read()
    stored = server.rows() - rows
    figures = {"rate": per_second(sent.accepted, sent.elapsed), **cpu_figures(spent, sent.accepted)}
    figures |= {"p50_ms": sent.p50_ms, "p99_ms": sent.p99_ms, "retransmissions": sent.retransmissions}
    run = Run("store", server.name, figures, noise=noise)
    if sent.accepted != count or stored != count:
        run.faults.append(f"{count} sent, {sent.accepted} accepted, {stored} stored")
    return run


def latency(server: Contestant, generator: Generator, count: int, profile: Path | None) -> Run:
    """`count` MESSAGEs to absent users at RATE a second, whatever the answers: the time to each 202."""
    server.start(profile)
    generator.store(server.port, "warm", WARM_UP, STORE_USERS, WINDOW)
    time.sleep(REST_SECONDS)
    clock = Clock(server)
    sent = generator.store_at_rate(server.port, "latency", count, STORE_USERS, RATE)
    spent, noise = clock.read()
    figures = {"p50_ms": sent.p50_ms, "p99_ms": sent.p99_ms, "max_ms": sent.max_ms}
    figures |= {**cpu_figures(spent, sent.accepted), "retransmissions": sent.retransmissions}
    run = Run("latency", server.name, figures, noise=noise)
    if sent.accepted != count:
        run.faults.append(f"{count} sent, {sent.accepted} accepted")
    return run


def deliver(server: Contestant, generator: Generator, count: int, profile: Path | None) -> Run:
    """Fills the silo with `count` messages for DELIVER_USERS users, restarts the server, registers everybody.

    The time runs from the first REGISTER to the first arrival of the last message; the CPU until the server
    has deleted what it delivered. The sink answers until then, so that what is sent twice is answered twice.
    """
    users = DELIVER_USERS
    server.start()
    filled = generator.store(server.port, "deliver", count, users, WINDOW)
    server.restart(profile)
    rows = server.rows()
    with Sink(generator, "deliver", count, users) as sink:
        clock = Clock(server)
        registered = generator.register(server.port, users, sink.port)
        sink.wait_until_complete(ARRIVAL_SECONDS)
        until_arrival, _ = clock.read()
        left = wait_for_clean_up(server.rows)
        spent, noise = clock.read(sink.cpu_seconds())
        time.sleep(LATE_SECONDS)
        got = sink.stop()
    figures = {
        "rate": per_second(got.distinct, got.last - registered.started),
        **cpu_figures(spent, got.distinct),
        "cpu_until_arrival": cpu_figures(until_arrival, got.distinct)["cpu"],
        "packets": got.requests / max(got.distinct, 1),
    }
    run = Run("deliver", server.name, figures, noise=noise)
    if filled.accepted != count or rows != count or registered.accepted != users:
        run.faults.append(f"filled {rows} of {count}, {registered.accepted} of {users} users registered")
    run.faults += delivery_faults(got, count, left)
    return run


def wait_for_clean_up(rows: Callable[[], int]) -> int:
    """Waits until nothing is stored any more; how much is left when the time is up."""
    deadline = time.monotonic() + CLEAN_UP_SECONDS
    while (left := rows()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return left


def delivery_faults(got: Received, count: int, left: int) -> list[str]:
    """What went wrong in a delivery, in words."""
    faults = []
    if got.distinct != count or left:
        faults.append(f"{got.distinct} of {count} delivered, {left} left in the silo")
    if got.duplicates:
        faults.append(f"{got.duplicates} delivered twice")
    if got.inversions:
        faults.append(f"{got.inversions} out of order")
    return faults
