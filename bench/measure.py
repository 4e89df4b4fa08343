"""CPU seconds of process trees, of one thread, of the machine; the price of an fsync."""

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PROCESSORS = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds (user and system) of a contestant, server and database apart."""

    server: float
    database: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.server + self.database

    def __sub__(self, earlier: Self) -> "CpuTime":
        return CpuTime(self.server - earlier.server, self.database - earlier.database)


def _stat_fields(path: str) -> list[str] | None:
    """Fields of a /proc stat file from `state` on (proc(5), field 3), or None when the process is gone."""
    try:
        text = Path(path).read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()  # the name before may hold blanks and brackets


def _ticks(fields: list[str], first: int, last: int) -> float:
    return sum(int(field) for field in fields[first : last + 1]) / TICKS_A_SECOND


def process_tree(root: int) -> list[int]:
    """The process ids of `root` and of all its living descendants, parents first."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if fields := _stat_fields(f"/proc/{name}/stat"):
            children.setdefault(int(fields[1]), []).append(int(name))

    def walk(pid: int) -> Iterator[int]:
        yield pid
        for child in children.get(pid, ()):
            yield from walk(child)

    return list(walk(root))


def tree_cpu(root: int) -> float:
    """CPU seconds of a process tree, with those of children that have ended and were waited for."""
    stats = (_stat_fields(f"/proc/{pid}/stat") for pid in process_tree(root))
    return sum(_ticks(fields, 11, 14) for fields in stats if fields)  # utime, stime, cutime, cstime


def main_thread_cpu(pid: int) -> float:
    """CPU seconds of the main thread of a process alone."""
    fields = _stat_fields(f"/proc/{pid}/task/{pid}/stat")
    return _ticks(fields, 11, 12) if fields else 0.0


def own_cpu() -> float:
    """CPU seconds of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


def machine_cpu() -> float:
    """CPU seconds that all processors have been busy since the machine started, interrupts included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = Path("/proc/stat").read_text().split()[1:9]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / TICKS_A_SECOND


def fsync_milliseconds(directory: Path) -> float:
    """The median time of appending 4 KiB to a file in `directory` and fsyncing it: a commit's least wait."""
    path, times = directory / "fsync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(50):
            start = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    path.unlink()
    return statistics.median(times) * 1e3
