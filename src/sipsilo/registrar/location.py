"""The location service: every binding in memory, and in the database before it counts (§10.2.1)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol
from weakref import WeakValueDictionary

from sipsilo.registrar.binding import Binding, Change
from sipsilo.sip.uri import Aor


class BindingRepository(Protocol):
    """What the location service needs of a database. Its methods return after their commit."""

    def load(self, now: float) -> Awaitable[Iterable[tuple[Aor, Binding]]]:
        """All unexpired bindings, the newest of each AoR first."""

    def replace(self, aor: Aor, bindings: tuple[Binding, ...]) -> Awaitable[None]:
        """Make these the bindings of an AoR."""

    def purge(self, now: float) -> Awaitable[None]:
        """Delete what has expired."""


Listener = Callable[[Aor, tuple[Binding, ...], tuple[Binding, ...]], None]
"""Is told the AoR whose bindings are others now, those it had, and those it has."""


class Location:
    """Bindings by AoR, newest first. `listener` is told of every change."""

    def __init__(self, repository: BindingRepository) -> None:
        self.listener: Listener | None = None
        self._repository = repository
        self._bindings: dict[Aor, tuple[Binding, ...]] = {}
        # a lock lives as long as somebody works or waits under it
        self._changing: WeakValueDictionary[Aor, asyncio.Lock] = WeakValueDictionary()

    async def load(self) -> int:
        """Read what was there before a restart; how many bindings. Raises what the repository raises."""
        count = 0
        for aor, binding in await self._repository.load(time.time()):
            self._bindings[aor] = (*self._bindings.get(aor, ()), binding)
            count += 1
        return count

    def lookup(self, aor: Aor) -> tuple[Binding, ...]:
        """The unexpired bindings of an AoR, newest first."""
        bindings = self._bindings.get(aor)
        if bindings is None:
            return ()
        now = time.time()
        if any(binding.expires_at <= now for binding in bindings):
            return tuple(binding for binding in bindings if binding.expires_at > now)
        return bindings

    async def change(self, aor: Aor, rule: Callable[[tuple[Binding, ...]], Change]) -> Change:
        """Apply a rule to the bindings of an AoR; they count once they are committed.

        Changes of one AoR happen one after the other. Raises what the rule or the repository raises.
        """
        lock = self._changing.setdefault(aor, asyncio.Lock())
        async with lock:
            change = rule(self.lookup(aor))
            if change.bindings != self._bindings.get(aor, ()):
                await self._repository.replace(aor, change.bindings)
                self._set(aor, change.bindings)
            return change

    def _set(self, aor: Aor, bindings: tuple[Binding, ...]) -> None:
        if self.listener is not None:
            self.listener(aor, self._bindings.get(aor, ()), bindings)
        if bindings:
            self._bindings[aor] = bindings
        else:
            self._bindings.pop(aor, None)

    async def purge(self) -> None:
        """Forget expired bindings. Raises what the repository raises."""
        now = time.time()
        for aor, bindings in list(self._bindings.items()):
            if any(binding.expires_at <= now for binding in bindings):
                self._set(aor, tuple(binding for binding in bindings if binding.expires_at > now))
        await self._repository.purge(now)
