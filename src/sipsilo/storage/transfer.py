"""Copying messages from one database to another: in batches, each with a note of how far we are, in order."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from sipsilo.storage.access import DatabaseError, connect
from sipsilo.storage.administration import open_schema
from sipsilo.storage.dbtext import DbtextSource, DbtextTarget
from sipsilo.storage.rows import Progress, Refuse, Source, Target
from sipsilo.storage.sqlsilo import SqlSource, SqlTarget
from sipsilo.storage.tables import SiloNames
from sipsilo.storage.urls import parse_url

BATCH = 200
"""Messages in one transaction of the target."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a copy. `earlier`: how far an interrupted one, or one before, had come.

    `expected`: messages that the source had for us at the start; `added`: what the target has more than before.
    """

    earlier: Progress
    progress: Progress
    expected: int
    added: int

    @property
    def copied(self) -> int:
        """Messages copied this time."""
        return self.progress.copied - self.earlier.copied

    @property
    def refused(self) -> int:
        """Messages refused this time."""
        return self.progress.refused - self.earlier.refused

    @property
    def read(self) -> int:
        """Messages read this time."""
        return self.copied + self.refused

    @property
    def is_exact(self) -> bool:
        """Whether each message that the source had was read, and each that was copied is in the target."""
        return self.read == self.expected and self.added == self.copied


async def copy(
    source: Source, target: Target, refuse: Refuse, tell: Callable[[int, int], None], *, again: bool = False
) -> Report:
    """Copy what the source has now and no earlier copy has taken. `tell`: how many are done, of how many.

    It may be cancelled between two batches, or die at any moment: the next copy goes on where this one has come to.
    `again`: copy everything, whatever was copied before. Raises DatabaseError, SchemaError.
    """
    if source.identity == target.identity:
        raise DatabaseError(f"{source.identity}: source and target are the same")
    earlier = progress = await target.begin(source.identity, again)
    until = await source.last()
    expected = await source.count(progress.last, until)
    before = await target.count()
    done = 0
    while rows := await source.read(progress.last, until, BATCH):
        tell(done, expected)
        progress = await target.write(rows, progress, refuse)
        done += len(rows)
    tell(done, expected)
    await target.end()
    return Report(earlier, progress, expected, await target.count() - before)


@asynccontextmanager
async def open_source(url: str, names: SiloNames) -> AsyncIterator[Source]:
    """Where a URL, that of a dbtext directory too, has its messages. Raises SchemaError, DatabaseError."""
    place = parse_url(url)
    if place.kind == "text":
        with closing(DbtextSource(place.path)) as file:
            file.open()
            yield file
    else:
        async with connect(url) as access:
            silo = SqlSource(access, names)
            await silo.open()
            yield silo


@asynccontextmanager
async def open_target(url: str, names: SiloNames) -> AsyncIterator[Target]:
    """Where a URL would have its messages; a SQLite file is made. Raises SchemaError, DatabaseError."""
    place = parse_url(url)
    if place.kind == "text":
        with closing(DbtextTarget(place.path)) as file:
            yield file
    else:
        schema = await open_schema(url, names)
        async with connect(url) as access:
            yield SqlTarget(access, schema)
