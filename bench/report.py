"""Medians of the runs, ratios against the peer, targets, and the tables that show them."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from parts import Run

AT_LEAST, AT_MOST = ">=", "<="


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    `best` chooses the peer's setting to compare with; None: that of the line above, whose detail this is.
    `target` is what the ratio sipsilo / peer has to be; None: the line only informs. It holds for sipsilo on SQLite,
    and on the others if `everywhere`.
    """

    title: str
    part: str
    key: str
    digits: int
    best: Callable[[Iterable[float]], float] | None = None
    target: tuple[str, float] | None = None
    everywhere: bool = False


FIGURES = (
    Figure("durable stores/s", "store", "rate", 0, max, (AT_LEAST, 1.5), everywhere=True),
    Figure("CPU µs per stored message", "store", "cpu", 0, min, (AT_MOST, 0.5)),
    Figure("- server", "store", "cpu_server", 0),
    Figure("- database", "store", "cpu_database", 0),
    Figure("deliveries/s", "deliver", "rate", 0, max, (AT_LEAST, 1.5)),
    Figure("CPU µs per delivered message", "deliver", "cpu", 0, min, (AT_MOST, 0.5)),
    Figure("- server", "deliver", "cpu_server", 0),
    Figure("- database", "deliver", "cpu_database", 0),
    Figure("- both, until the last arrival", "deliver", "cpu_until_arrival", 0),
    Figure("- packets sent per message", "deliver", "packets", 2),
    Figure("p50 of MESSAGE to 202, ms", "latency", "p50_ms", 2, min),
    Figure("p99 of MESSAGE to 202, ms", "latency", "p99_ms", 2, min, (AT_MOST, 1.0)),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A figure with its medians; `target`, `peer`, `ratio` and `met` are None where there is nothing to compare."""

    figure: Figure
    target: tuple[str, float] | None
    ours: float
    peer: float | None
    peer_name: str
    our_name: str

    @property
    def ratio(self) -> float | None:
        """sipsilo / peer."""
        return self.ours / self.peer if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the ratio reaches the target."""
        if self.target is None or self.ratio is None:
            return None
        sign, bound = self.target
        return self.ratio >= bound if sign == AT_LEAST else self.ratio <= bound


def median(runs: Sequence[Run], part: str, contestant: str, key: str) -> float:
    """The median of `values`, which must not be empty."""
    return statistics.median(values(runs, part, contestant, key))


def values(runs: Sequence[Run], part: str, contestant: str, key: str) -> list[float]:
    """A figure of a contestant in all its runs of a part."""
    return [run.figures[key] for run in runs if (run.part, run.contestant) == (part, contestant)]


def compare(runs: Sequence[Run], ours: str, peers: Sequence[str], database: str) -> list[Line]:
    """The lines of the table of sipsilo on one database, for the parts that were measured."""
    lines: list[Line] = []
    setting = ""
    for figure in FIGURES:
        if not values(runs, figure.part, ours, figure.key):
            continue
        our_median = median(runs, figure.part, ours, figure.key)
        medians = {name: median(runs, figure.part, name, figure.key) for name in peers}
        if figure.best and medians:
            setting = dict(zip(medians.values(), medians, strict=True))[figure.best(medians.values())]
        target = figure.target if figure.everywhere or database == "sqlite" else None
        lines.append(Line(figure, target, our_median, medians.get(setting), setting, ours))
    return lines


def comparison_rows(lines: Sequence[Line]) -> list[list[str]]:
    """Heading and cells of the comparison."""
    rows = [
        ["figure (medians)", *{line.our_name for line in lines}, "peer", "ratio", "target", "met", "peer's setting"]
    ]
    for line in lines:
        digits, target, peer = line.figure.digits, line.target, line.peer
        rows.append(
            [
                line.figure.title,
                f"{line.ours:.{digits}f}",
                "" if peer is None else f"{peer:.{digits}f}",
                "" if line.ratio is None else f"{line.ratio:.2f}",
                "" if target is None else f"{target[0]} {target[1]:g}",
                {True: "yes", False: "NO", None: ""}[line.met],
                line.peer_name,
            ]
        )
    return rows if any(line.peer_name for line in lines) else [row[:2] for row in rows]


def spread_rows(runs: Sequence[Run]) -> list[list[str]]:
    """Heading and cells of all contestants' figures: smallest, median, largest."""
    rows = [["contestant", "figure", "min", "median", "max"]]
    for name in dict.fromkeys(run.contestant for run in runs):
        for figure in FIGURES:
            if found := values(runs, figure.part, name, figure.key):
                cells = (min(found), statistics.median(found), max(found))
                rows.append([name, figure.title, *(f"{cell:.{figure.digits}f}" for cell in cells)])
    return rows


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side: the first flush left, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruler = ["-" * width for width in widths]
    return "\n".join("  ".join(map(_pad, row, widths)).rstrip() for row in (rows[0], ruler, *rows[1:]))


def _pad(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() else cell.ljust(width)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """The same for GitHub and the like."""
    ruler = ["---"] * len(rows[0])
    return "\n".join("| " + " | ".join(row) + " |" for row in (rows[0], ruler, *rows[1:]))
