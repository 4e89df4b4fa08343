"""A row of the silo on its way from one database to another."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Integer, LargeBinary

from sipsilo.storage.tables import Tables

Row = dict[str, Any]
"""Values by the keys of the silo's columns: int, str (what is no UTF-8 in it as surrogates), bytes, or None."""

_SILO = Tables().silo

KEYS = tuple(column.key for column in _SILO.c)
NUMBERS = frozenset(column.key for column in _SILO.c if isinstance(column.type, Integer))
BYTES = frozenset(column.key for column in _SILO.c if isinstance(column.type, LargeBinary))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a copy is: the number of the last message that was looked at, how many were taken, how many not."""

    last: int = 0
    copied: int = 0
    refused: int = 0


Refuse = Callable[[int, str], None]
"""Told of each message that is not copied: its number in the source, and why."""


class Source(Protocol):
    """Where messages are read. `identity` names it, without a password."""

    identity: str

    async def last(self) -> int:
        """The highest number."""

    async def count(self, after: int, until: int) -> int:
        """How many messages have a number above `after`, up to `until`."""

    async def read(self, after: int, until: int, limit: int) -> Sequence[Row]:
        """The first of them, in the order of their numbers."""


class Target(Protocol):
    """Where messages are written."""

    identity: str

    async def begin(self, source: str, again: bool) -> Progress:
        """Make ready; how far earlier copies from this source came, unless all is to be copied `again`."""

    async def count(self) -> int:
        """How many messages there are."""

    def write(self, rows: Sequence[Row], progress: Progress, refuse: Refuse) -> Awaitable[Progress]:
        """Write rows in their order, under new numbers, and durably with them how far we are then."""

    async def end(self) -> None:
        """All is written."""
