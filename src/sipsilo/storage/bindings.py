"""Bindings, in the table sipsilo_location."""

import json
from collections.abc import Awaitable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, delete, select

from sipsilo.registrar.binding import Binding, Received
from sipsilo.sip.uri import Aor
from sipsilo.storage.connection import Connection, Insert, Row
from sipsilo.storage.dialects import has_aor
from sipsilo.storage.engine import Engine, Operation
from sipsilo.storage.tables import Tables

_COLUMNS = (
    "username", "domain", "contact", "q", "expires_at", "registered_at", "call_id", "cseq", "path", "methods",
    "received",
)  # fmt: skip


class _Replacement(NamedTuple):
    aor: Aor
    bindings: tuple[Binding, ...]


class _Replace(Operation[_Replacement, None]):
    rank = 0

    def __init__(self, tables: Tables) -> None:
        location = tables.location
        self._delete = delete(location).where(has_aor(location))
        self._insert = Insert(location, _COLUMNS)

    async def run(self, connection: Connection, items: Sequence[_Replacement]) -> Sequence[None]:
        latest = {item.aor: item.bindings for item in items}
        await connection.execute_many(self._delete, [{"user": aor.user, "host": aor.host} for aor in sorted(latest)])
        rows = [_row(aor, binding) for aor, bindings in latest.items() for binding in bindings]
        if rows:
            await connection.insert(self._insert, rows)
        return [None] * len(items)


def _row(aor: Aor, binding: Binding) -> tuple[object, ...]:
    return (
        *aor,
        *binding[:6],
        json.dumps(binding.path),
        binding.methods,
        json.dumps(binding.received),
    )


def _binding(row: Row) -> tuple[Aor, Binding]:
    transport, local, remote, natted = json.loads(row[10])
    received = Received(transport, tuple(local), tuple(remote), natted)
    return Aor(row[0], row[1]), Binding._make((*row[2:8], tuple(json.loads(row[8])), row[9], received))


class _Load(Operation[float, list[tuple[Aor, Binding]]]):
    rank = 5

    def __init__(self, tables: Tables) -> None:
        location = tables.location
        self._statement = (
            select(*(location.c[key] for key in _COLUMNS))
            .where(location.c.expires_at > bindparam("now"))
            .order_by(location.c.registered_at.desc(), location.c.contact)
        )

    async def run(self, connection: Connection, items: Sequence[float]) -> Sequence[list[tuple[Aor, Binding]]]:
        found = [await connection.fetch(self._statement, {"now": now}) for now in items]
        return [[_binding(row) for row in rows] for rows in found]


class _Purge(Operation[float, None]):
    rank = 5

    def __init__(self, tables: Tables) -> None:
        self._statement = delete(tables.location).where(tables.location.c.expires_at <= bindparam("now"))

    async def run(self, connection: Connection, items: Sequence[float]) -> Sequence[None]:
        await connection.execute(self._statement, {"now": max(items)})
        return [None] * len(items)


class BindingRepository:
    """The registrar's `BindingRepository` on an engine."""

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self._engine = engine
        self._replace = _Replace(tables)
        self._load = _Load(tables)
        self._purge = _Purge(tables)

    def load(self, now: float) -> Awaitable[Iterable[tuple[Aor, Binding]]]:
        """All unexpired bindings, the newest first. Raises StorageError."""
        return self._engine.submit(self._load, now)

    def replace(self, aor: Aor, bindings: tuple[Binding, ...]) -> Awaitable[None]:
        """Make these the bindings of an AoR. Raises StorageError."""
        return self._engine.submit(self._replace, _Replacement(aor, bindings))

    def purge(self, now: float) -> Awaitable[None]:
        """Delete what has expired. Raises StorageError."""
        return self._engine.submit(self._purge, now)
