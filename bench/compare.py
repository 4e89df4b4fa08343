"""Measures sipsilo and Kamailio's msilo in one run on one machine and prints the ratios; see README.md."""

import argparse
import json
import os
import platform
import pstats
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from loadgen import Generator
from measure import PROCESSORS, fsync_milliseconds
from parts import DELIVER_USERS, RATE, WINDOW, Run, deliver, latency, store
from peers import Contestant, Kamailio, MariaDB, Sipsilo
from process import BenchError
from report import Line, compare, comparison_rows, markdown_table, plain_table, spread_rows

Part = Callable[[Contestant, Generator, int, Path | None], Run]
PARTS: dict[str, tuple[Part, int]] = {  # and how many messages when --count does not say
    "store": (store, 20000),
    "deliver": (deliver, 10000),
    "latency": (latency, 3000),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 measured, 1 sipsilo lost, doubled, disordered or refused something, 2 could not run."""
    options = parse_arguments(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    try:
        with ExitStack() as stack:
            return bench(options, stack)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
    return 2


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; --profile stands for --peer none --reps 1 too."""
    parser = argparse.ArgumentParser(prog="bench/compare.py", description=__doc__)
    add = parser.add_argument
    add("--only", type=part_names, default=list(PARTS), metavar="PART,…", help=f"of {', '.join(PARTS)}")
    add("--peer", choices=("kamailio", "none"), default="kamailio", help="whom to compare with")
    add("--children", type=numbers, default=[8, 16], metavar="N,…", help="Kamailio's settings (default 8,16)")
    usual = ", ".join(f"{name} {count}" for name, (_, count) in PARTS.items())
    add("--count", type=positive, metavar="N", help=f"messages per run (default: {usual})")
    add("--reps", type=positive, default=3, metavar="N", help="runs of each part and contestant (default 3)")
    add("--json", type=Path, metavar="FILE", help="write every run and the comparison there")
    profile = "sipsilo alone, once, under cProfile: writes DIR/PART.prof, prints its top (distorted figures)"
    add("--profile", type=Path, metavar="DIR", help=profile)
    options = parser.parse_args(argv)
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
    scratch.chmod(0o755)  # MariaDB's own user has to get through
    contestants = make_contestants(options, scratch, stack)
    generator = Generator(scratch)
    facts = machine_facts(contestants, scratch)
    print("\n".join(f"{name}: {value}" for name, value in facts.items()), flush=True)
    runs = measure_all(options, contestants, generator)
    lines = compare(runs, Sipsilo.name, [one.name for one in contestants if one.name != Sipsilo.name])
    print_report(runs, lines)
    if options.json:
        write_json(options.json, facts, runs, lines)
    return 1 if any(run.faults for run in runs if run.contestant == Sipsilo.name) else 0


def make_contestants(options: argparse.Namespace, scratch: Path, stack: ExitStack) -> list[Contestant]:
    """None of them runs yet; whatever runs when the stack unwinds is stopped."""

    def directory(name: str) -> Path:
        (scratch / name).mkdir()
        return scratch / name

    contestants: list[Contestant] = [Sipsilo(directory("sipsilo"))]
    if options.peer == "kamailio":
        database = MariaDB(directory("mariadb"))
        contestants += [Kamailio(directory(f"kamailio{n}"), database, n) for n in options.children]
    for contestant in contestants:
        stack.callback(contestant.stop)
    # Unwound first: a second Ctrl-C must not keep the servers alive.
    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.SIG_IGN)
    return contestants


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
                profile = options.profile and options.profile.absolute() / f"{name}.prof"
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


def print_report(runs: Sequence[Run], lines: Sequence[Line]) -> None:
    """All figures with their spread, then the comparison, as plain text and as Markdown."""
    rows = comparison_rows(lines)
    for text in (plain_table(spread_rows(runs)), plain_table(rows), "As Markdown:", markdown_table(rows)):
        print("\n" + text)
    if noisy := sum(run.noisy for run in runs):
        print(f"\n{noisy} of {len(runs)} runs were noisy: others were at work on this machine.")


def write_json(path: Path, facts: dict[str, str], runs: Sequence[Run], lines: Sequence[Line]) -> None:
    """Everything that is known, for programs."""
    comparison = [
        {
            "figure": line.figure.title,
            "sipsilo": line.ours,
            "peer": line.peer,
            "setting": line.peer_name,
            "ratio": line.ratio,
            "target": line.figure.target,
            "met": line.met,
        }
        for line in lines
    ]
    result = {"facts": facts, "runs": [asdict(run) for run in runs], "comparison": comparison}
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
