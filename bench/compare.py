"""Measures sipsilo on three databases and Kamailio's msilo in one run on one machine, prints ratios; see README.md."""

import argparse
import json
import os
import platform
import pstats
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from databases import DatabaseError, DatabaseServer, MariaDb, PostgreSql
from loadgen import Generator
from measure import PROCESSORS, fsync_milliseconds
from parts import DELIVER_USERS, RATE, WINDOW, Run, deliver, latency, store
from peers import Contestant, Kamailio, Sipsilo
from process import BenchError, free_port
from report import Line, compare, comparison_rows, markdown_table, plain_table, spread_rows
from silos import KamailioSilo, ServerSilo, Silo, SqliteFile

Part = Callable[[Contestant, Generator, int, Path | None], Run]
PARTS: dict[str, tuple[Part, int]] = {  # and how many messages when --count does not say
    "store": (store, 20000),
    "deliver": (deliver, 10000),
    "latency": (latency, 3000),
}
# The server for sipsilo's silo, if it needs one, and for that of Kamailio, which has no SQLite.
DATABASES: dict[str, tuple[type[DatabaseServer] | None, type[DatabaseServer]]] = {
    "sqlite": (None, MariaDb),
    "mysql": (MariaDb, MariaDb),
    "postgres": (PostgreSql, PostgreSql),
}


@dataclass(frozen=True, slots=True)
class Match:
    """sipsilo on one database and those it is compared with."""

    database: str
    ours: Contestant
    peers: Sequence[Contestant]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 measured, 1 sipsilo lost, doubled, disordered or refused something, 2 could not run."""
    options = parse_arguments(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        with ExitStack() as stack:
            return bench(options, stack)
    except (BenchError, DatabaseError) as error:
        print(f"bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
    return 2


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; --profile stands for --peer none --reps 1 too."""
    parser = argparse.ArgumentParser(prog="bench/compare.py", description=__doc__)
    add = parser.add_argument
    add("--only", type=part_names, default=list(PARTS), metavar="PART,…", help=f"of {', '.join(PARTS)}")
    databases = f"sipsilo's, of {', '.join(DATABASES)}; may be repeated (default: all)"
    add("--database", choices=tuple(DATABASES), action="append", dest="databases", help=databases)
    add("--peer", choices=("kamailio", "none"), default="kamailio", help="whom to compare with")
    add("--children", type=numbers, default=[8, 16], metavar="N,…", help="Kamailio's settings (default 8,16)")
    usual = ", ".join(f"{name} {count}" for name, (_, count) in PARTS.items())
    add("--count", type=positive, metavar="N", help=f"messages per run (default: {usual})")
    add("--reps", type=positive, default=3, metavar="N", help="runs of each part and contestant (default 3)")
    add("--json", type=Path, metavar="FILE", help="write every run and the comparison there")
    profile = "sipsilo alone, once, under cProfile: writes DIR/PART-DATABASE.prof, prints its top (distorted figures)"
    add("--profile", type=Path, metavar="DIR", help=profile)
    options = parser.parse_args(argv)
    options.databases = list(dict.fromkeys(options.databases or DATABASES))
    if options.profile:
        options.peer, options.reps = "none", 1
    return options


def part_names(text: str) -> list[str]:
    """An argument of parts, separated by commas."""
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}")
    return names


def numbers(text: str) -> list[int]:
    """An argument of numbers, separated by commas."""
    return [positive(number) for number in text.split(",")]


def positive(text: str) -> int:
    """An argument of one number above 0."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"not a positive number: {text}")
    return int(text)


def bench(options: argparse.Namespace, stack: ExitStack) -> int:
    """Measures and reports; returns the exit status. What it starts is ended when `stack` unwinds."""
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sipsilo-bench-")))
    matches = make_matches(options, scratch, stack)
    contestants = list(dict.fromkeys(one for match in matches for one in (match.ours, *match.peers)))
    generator = Generator(scratch)
    facts = machine_facts(contestants, scratch)
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
    runs = measure_all(options, contestants, generator)
    lines = {
        match.database: compare(runs, match.ours.name, [peer.name for peer in match.peers], match.database)
        for match in matches
    }
    print_report(runs, lines)
    if options.json:
        write_json(options.json, facts, runs, lines)
    ours = {match.ours.name for match in matches}
    return 1 if any(run.faults for run in runs if run.contestant in ours) else 0


def make_matches(options: argparse.Namespace, scratch: Path, stack: ExitStack) -> list[Match]:
    """None of the contestants runs yet; whatever runs when the stack unwinds is stopped.

    Contestants on one kind of server share it, one after the other, and its Kamailios meet every sipsilo.
    """
    servers: dict[type[DatabaseServer], DatabaseServer] = {}
    kamailios: dict[type[DatabaseServer], list[Contestant]] = {}

    def directory(name: str) -> Path:
        (scratch / name).mkdir()
        return scratch / name

    def server(kind: type[DatabaseServer]) -> DatabaseServer:
        if kind not in servers:
            servers[kind] = kind(free_port())
            stack.callback(servers[kind].remove)
        return servers[kind]

    def add(contestant: Contestant) -> Contestant:
        stack.callback(contestant.stop)
        return contestant

    def peers(kind: type[DatabaseServer]) -> list[Contestant]:
        if kind not in kamailios:
            kamailios[kind] = [
                add(Kamailio(directory(f"kamailio{n}-{kind.scheme}"), KamailioSilo(server(kind), f"kamailio{n}"), n))
                for n in options.children
            ]
        return kamailios[kind]

    matches = []
    for name in options.databases:
        kind, peer_kind = DATABASES[name]
        own = directory(f"sipsilo-{name}")
        silo: Silo = ServerSilo(server(kind), "sipsilo") if kind else SqliteFile(own)
        ours = add(Sipsilo(own, silo))
        matches.append(Match(name, ours, peers(peer_kind) if options.peer == "kamailio" else []))
    # Unwound first: a second Ctrl-C must not keep the servers alive.
    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.SIG_IGN)
    return matches


def machine_facts(contestants: Sequence[Contestant], scratch: Path) -> dict[str, str]:
    """What the figures depend on, by name."""
    facts = {"machine": f"{PROCESSORS} processors, {platform.platform()}"}
    facts["load"] = f"{os.getloadavg()[0]:.2f} processes running before the start"
    facts["disk"] = f"{fsync_milliseconds(scratch):.2f} ms for an fsync of 4 KiB in {scratch.parent}"
    facts |= {one.name: one.version() for one in contestants}
    facts["load offered"] = (
        f"store: {WINDOW} in flight; deliver: {DELIVER_USERS} users register at once; latency: {RATE}/s"
    )
    return facts


def measure_all(options: argparse.Namespace, contestants: Sequence[Contestant], generator: Generator) -> list[Run]:
    """Part by part, the contestants in turn, `reps` times: the machine's moods meet all of them alike."""
    runs = []
    for round_ in range(1, options.reps + 1):
        for name in options.only:
            part, usual_count = PARTS[name]
            for contestant in contestants:
                profile = options.profile and options.profile.absolute() / f"{name}-{contestant.database}.prof"
                count = options.count or usual_count
                run = measure_one(part, contestant, generator, count, profile)
                runs.append(run)
                print(describe(run, f"{round_}/{options.reps}"), flush=True)
    return runs


def measure_one(part: Part, contestant: Contestant, generator: Generator, count: int, profile: Path | None) -> Run:
    """One run; the contestant is stopped after it, so that it does not disturb the next one's."""
    if profile:
        profile.parent.mkdir(parents=True, exist_ok=True)
    try:
        run = part(contestant, generator, count, profile)
    finally:
        contestant.stop()
    if profile:
        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(25)
    return run


def describe(run: Run, round_: str) -> str:
    """One line on a run as soon as it is done, and a line for each thing to note."""
    figures = "  ".join(f"{name} {value:.4g}" for name, value in run.figures.items())
    notes = [*run.faults, *([f"noisy: others took {run.noise:.0%} of the machine"] if run.noisy else [])]
    return f"{round_} {run.part} {run.contestant}: {figures}" + "".join(f"\n    ! {note}" for note in notes)


def print_report(runs: Sequence[Run], lines: Mapping[str, Sequence[Line]]) -> None:
    """All figures with their spread, then a comparison for each database, as plain text and as Markdown."""
    print("\n" + plain_table(spread_rows(runs)))
    tables = [comparison_rows(of_one) for of_one in lines.values()]
    for text in (*map(plain_table, tables), "As Markdown:", *map(markdown_table, tables)):
        print("\n" + text)
    if noisy := sum(run.noisy for run in runs):
        print(f"\n{noisy} of {len(runs)} runs were noisy: others were at work on this machine.")


def write_json(path: Path, facts: dict[str, str], runs: Sequence[Run], lines: Mapping[str, Sequence[Line]]) -> None:
    """Everything that is known, for programs."""
    comparison = [
        {
            "database": database,
            "figure": line.figure.title,
            "sipsilo": line.ours,
            "peer": line.peer,
            "setting": line.peer_name,
            "ratio": line.ratio,
            "target": line.target,
            "met": line.met,
        }
        for database, of_one in lines.items()
        for line in of_one
    ]
    result = {"facts": facts, "runs": [asdict(run) for run in runs], "comparison": comparison}
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
