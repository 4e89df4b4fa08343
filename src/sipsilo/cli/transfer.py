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
        bar = _ProgressBar(f"{shown(source.url)} to {shown(target.url)}")
        try:
            report = await copy(from_, to, bar.refuse, bar.tell, again=again)
        finally:
            if bar.task_ids:
                bar.stop()
        return report, to.long_values if isinstance(to, DbtextTarget) else 0


class _ProgressBar(Progress):
    """On stderr; there is none before something is copied, and what is refused is told above it."""

    def __init__(self, title: str) -> None:
        columns = (TextColumn(title, markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns, console=Console(stderr=True, highlight=False, soft_wrap=True))

    def tell(self, done: int, expected: int) -> None:
        """How far we are."""
        if not self.task_ids:
            self.start()
            self.add_task("")
        self.update(self.task_ids[0], completed=done, total=expected)

    def refuse(self, mid: int, why: str) -> None:
        """A message that is not copied."""
        self.console.print(f"message {mid} is not copied: {why}", markup=False)


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
