"""Bindings, in the table sipsilo_location."""

import json
import sqlite3
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, NamedTuple

from sipsilo.registrar.binding import Binding, Received
from sipsilo.sip.uri import Aor
from sipsilo.storage.engine import Engine, Operation


class _Replacement(NamedTuple):
    aor: Aor
    bindings: tuple[Binding, ...]


class _Replace(Operation[_Replacement, None]):
    rank = 0

    def run(self, connection: sqlite3.Connection, items: Sequence[_Replacement]) -> Sequence[None]:
        latest = {item.aor: item.bindings for item in items}
        connection.executemany("DELETE FROM sipsilo_location WHERE username=? AND domain=?", list(latest))
        connection.executemany(
            "INSERT INTO sipsilo_location (username, domain, contact, q, expires_at, registered_at, call_id, "
            "cseq, path, methods, received) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            [_row(aor, binding) for aor, bindings in latest.items() for binding in bindings],
        )
        return [None] * len(items)


def _row(aor: Aor, binding: Binding) -> tuple[object, ...]:
    return (
        *aor,
        *binding[:6],
        json.dumps(binding.path),
        binding.methods,
        json.dumps(binding.received),
    )


def _binding(row: Sequence[Any]) -> tuple[Aor, Binding]:
    transport, local, remote, natted = json.loads(row[10])
    received = Received(transport, tuple(local), tuple(remote), natted)
    return Aor(row[0], row[1]), Binding._make((*row[2:8], tuple(json.loads(row[8])), row[9], received))


class _Load(Operation[float, list[tuple[Aor, Binding]]]):
    rank = 5

    def run(self, connection: sqlite3.Connection, items: Sequence[float]) -> Sequence[list[tuple[Aor, Binding]]]:
        return [self._load(connection, now) for now in items]

    def _load(self, connection: sqlite3.Connection, now: float) -> list[tuple[Aor, Binding]]:
        rows = connection.execute(
            "SELECT username, domain, contact, q, expires_at, registered_at, call_id, cseq, path, methods, received "
            "FROM sipsilo_location WHERE expires_at>? ORDER BY registered_at DESC, rowid",
            (now,),
        )
        return [_binding(row) for row in rows]


class _Purge(Operation[float, None]):
    rank = 5

    def run(self, connection: sqlite3.Connection, items: Sequence[float]) -> Sequence[None]:
        connection.execute("DELETE FROM sipsilo_location WHERE expires_at<=?", (max(items),))
        return [None] * len(items)


class BindingRepository:
    """The registrar's `BindingRepository` on an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._replace = _Replace()
        self._load = _Load()
        self._purge = _Purge()

    def load(self, now: float) -> Awaitable[Iterable[tuple[Aor, Binding]]]:
        """All unexpired bindings, the newest first. Raises StorageError."""
        return self._engine.submit(self._load, now)

    def replace(self, aor: Aor, bindings: tuple[Binding, ...]) -> Awaitable[None]:
        """Make these the bindings of an AoR. Raises StorageError."""
        return self._engine.submit(self._replace, _Replacement(aor, bindings))

    def purge(self, now: float) -> Awaitable[None]:
        """Delete what has expired. Raises StorageError."""
        return self._engine.submit(self._purge, now)
