"""Copying messages between databases, with a progress bar: what `sipsilo db import` and `export` do."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sipsilo.cli.database import finish, silo_names
from sipsilo.cli.options import fail
from sipsilo.config import Msilo
from sipsilo.storage.dbtext import READABLE, DbtextTarget
from sipsilo.storage.tables import SiloNames
from sipsilo.storage.transfer import Report, copy, open_source, open_target
from sipsilo.storage.urls import UrlError, parse_url, shown

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class Place(NamedTuple):
    """One side of a copy."""

    url: str
    names: SiloNames


def import_(msilo: Msilo, place: str, *, again: bool) -> None:
    """`sipsilo db import`."""
    _transfer(_other(place), Place(msilo.db_url, silo_names(msilo)), again)


def export(msilo: Msilo, place: str, *, again: bool) -> None:
    """`sipsilo db export`."""
    _transfer(Place(msilo.db_url, silo_names(msilo)), _other(place), again)


def _other(text: str) -> Place:
    """A URL or a directory, as it was typed."""
    if "://" not in text:
        if Path(text).is_file():
            fail(f"{text} is a file; accepted: sqlite:///{text}, or a directory of dbtext")
        text = f"text://{os.path.abspath(text)}"
    try:
        parse_url(text)
    except UrlError as error:
        fail(str(error))
    return Place(text, SiloNames())


def _transfer(source: Place, target: Place, again: bool) -> None:
    try:
        report, long_values = finish(_copy(source, target, again))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    for line in _summary(report, long_values):
        print(line)
    if report.refused or not report.is_exact:
        raise typer.Exit(1)


async def _copy(source: Place, target: Place, again: bool) -> tuple[Report, int]:
    async with open_source(*source) as from_, open_target(*target) as to:
        with _progress_bar() as bar:
            task = bar.add_task(f"{shown(source.url)} to {shown(target.url)}", total=None)
            report = await copy(
                from_,
                to,
                lambda mid, why: bar.console.print(f"message {mid} is not copied: {why}", markup=False),
                lambda done, expected: bar.update(task, completed=done, total=expected),
                again=again,
            )
        return report, to.long_values if isinstance(to, DbtextTarget) else 0


def _progress_bar() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True, highlight=False, soft_wrap=True))


def _summary(report: Report, long_values: int) -> list[str]:
    earlier = report.earlier.copied
    lines = [f"{_messages(report.copied)} copied" + (f", {earlier} more by earlier runs" if earlier else "")]
    if report.refused:
        lines.append(f"{_messages(report.refused)} not copied, see above")
    if report.read != report.expected:
        lines.append(f"{report.expected} were expected: the source has changed meanwhile")
    if report.added != report.copied:
        lines.append(f"the target has {report.added} more than before: it has changed meanwhile")
    if report.is_exact:
        lines.append("the counts of source and target agree")
    if long_values:
        lines.append(
            f"{_messages(long_values)} with a value of more than {READABLE} bytes, which OpenSIPS does not read,"
            " and Kamailio only with a larger file_buffer_size"
        )
    return lines


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
