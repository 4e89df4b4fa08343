"""The ports of the silo's room: a database in memory, and phones that answer as they are told."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from sipsilo.silo.message import AT_REGISTRATION, NEVER, Attempt, StoredMessage
from sipsilo.silo.repository import Busy, Gauges, PageRequest, QuotaFull, RepositoryError
from sipsilo.sip.message import Response
from sipsilo.sip.uri import Aor
from tests.silo.samples import BOB, message, stored

Result = TypeVar("Result")

COMMIT = 0.001
"""Seconds that each operation takes."""


class Tables:
    """What all nodes see: messages by number, claims by owner (node and when it runs out), who is bound,
    what each node has counted."""

    def __init__(self) -> None:
        self.messages: dict[int, StoredMessage] = {}
        self.claims: dict[Aor, tuple[str, float]] = {}
        self.bound: set[Aor] = set()
        self.statistics: dict[str, dict[str, int]] = {}
        self.last_mid = 0

    def put(self, *bodies: str, owner: Aor = BOB, **changes: Any) -> list[int]:
        """Messages that were stored a moment ago; their numbers."""
        mids = []
        for body in bodies:
            self.last_mid += 1
            sample = stored(message("Content-Type: text/plain", body=body.encode()), owner, time.time(), 86_400)
            self.messages[self.last_mid] = sample._replace(mid=self.last_mid, **changes)
            mids.append(self.last_mid)
        return mids

    def bodies(self, owner: Aor = BOB) -> list[str]:
        """What is there for an owner, in order."""
        return [each.body.decode() for _, each in sorted(self.messages.items()) if each.owner == owner]

    def of(self, body: str) -> StoredMessage:
        """The message with this body."""
        return next(each for each in self.messages.values() if each.body == body.encode())


class MemoryRepository:
    """A `Repository` of one node. Operations named in `broken` raise, `lossy` ones do their work before."""

    def __init__(self, tables: Tables | None = None, node: str = "one", max_messages: int = 0) -> None:
        self.tables = tables or Tables()
        self.broken: set[str] = set()
        self.lossy: set[str] = set()
        self.calls: list[str] = []
        self._node = node
        self._max_messages = max_messages

    async def add(self, message: StoredMessage) -> int:
        await self._commit("add")
        unexpired = [each for each in self._of(message.owner) if each.expires > time.time()]
        if self._max_messages and len(unexpired) >= self._max_messages:
            raise QuotaFull
        self.tables.last_mid += 1
        self.tables.messages[self.tables.last_mid] = message._replace(mid=self.tables.last_mid)
        return self._told("add", self.tables.last_mid)

    async def delete(self, mid: int) -> None:
        await self._commit("delete")
        self.tables.messages.pop(mid, None)
        self._told("delete", None)

    async def record(self, mid: int, attempt: Attempt) -> None:
        await self._commit("record")
        self._note(mid, attempt)

    async def postpone(self, owner: Aor, mid: int, attempt: Attempt) -> None:
        await self._commit("postpone")
        self._note(mid, attempt)
        for each in self._of(owner):
            if each.send_time <= time.time():
                self._change(each.mid, next_try=max(each.next_try, attempt.next_try))

    async def claim(self, request: PageRequest) -> list[StoredMessage] | Busy:
        await self._commit("claim")
        due = NEVER - 1 if request.ignore_backoff else request.now
        page = [
            each
            for each in self._of(request.owner)
            if each.mid > request.after
            and each.expires > request.now
            and each.next_try <= due
            and each.send_time <= request.now
        ][: request.limit]
        node, until = self.tables.claims.get(request.owner, (self._node, 0.0))
        if page and node != self._node and until >= request.now:
            return Busy(until)
        if page:
            self.tables.claims[request.owner] = (self._node, request.lease)
        return page

    async def release(self, owner: Aor) -> None:
        await self._commit("release")
        if self.tables.claims.get(owner, ("", 0))[0] == self._node:
            del self.tables.claims[owner]

    async def renew(self, lease: float) -> None:
        await self._commit("renew")
        for owner, (node, _) in self.tables.claims.items():
            if node == self._node:
                self.tables.claims[owner] = (node, lease)

    async def forget_retries(self, owner: Aor, now: float) -> None:
        await self._commit("forget_retries")
        if owner in self.tables.bound:
            return
        for each in self._of(owner):
            if each.send_time <= now and 0 < each.next_try < NEVER:
                self._change(each.mid, next_try=AT_REGISTRATION)

    async def waiting(self, now: float) -> list[Aor]:
        await self._commit("waiting")
        return [owner for owner in self.tables.bound if self._of(owner)]

    async def due(self, now: float, limit: int) -> list[Aor]:
        await self._commit("due")
        owners = (each.owner for each in self.tables.messages.values() if 0 < each.next_try <= now < each.expires)
        return list(dict.fromkeys(owners))[:limit]

    async def next_due(self, now: float) -> float | None:
        await self._commit("next_due")
        waiting = [each.next_try for each in self.tables.messages.values() if now < each.next_try < NEVER]
        return min(waiting, default=None)

    async def purge(self, now: float, limit: int) -> int:
        await self._commit("purge")
        expired = [mid for mid, each in self.tables.messages.items() if each.expires <= now][:limit]
        for mid in expired:
            del self.tables.messages[mid]
        return len(expired)

    async def adopt_reminders(self) -> None:
        await self._commit("adopt_reminders")
        for each in list(self.tables.messages.values()):
            if each.send_time and each.next_try == 0:
                self._change(each.mid, next_try=each.send_time)

    async def gauges(self, now: float) -> Gauges:
        await self._commit("gauges")
        messages = self.tables.messages.values()
        due = [each for each in messages if 0 < each.send_time <= now]
        return Gauges(len(messages), len(due), min((each.received for each in messages), default=None))

    async def publish(self, statistics: Mapping[str, int]) -> None:
        await self._commit("publish")
        self.tables.statistics[self._node] = dict(statistics)

    async def _commit(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(COMMIT)
        if name in self.broken:
            raise RepositoryError(name)

    def _told(self, name: str, result: Result) -> Result:
        if name in self.lossy:
            raise RepositoryError(name)
        return result

    def _of(self, owner: Aor) -> list[StoredMessage]:
        return [each for _, each in sorted(self.tables.messages.items()) if each.owner == owner]

    def _note(self, mid: int, attempt: Attempt) -> None:
        number, next_try, status = attempt
        self._change(mid, attempts=number, next_try=next_try, last_status=status, send_time=0)

    def _change(self, mid: int, **values: Any) -> None:
        self.tables.messages[mid] = self.tables.messages[mid]._replace(**values)


class Phones:
    """A `Carrier`. Each message takes `takes` seconds; `answers` are the statuses to a body, 200 behind them."""

    def __init__(self, **answers: Iterable[int | Exception]) -> None:
        self.takes = 1.0
        self.away: set[Aor] = set()
        self.answers = {body: list(statuses) for body, statuses in answers.items()}
        self.sent: list[tuple[float, str]] = []
        self.on_arrival: Callable[[str], None] = lambda body: None
        self.most_at_once = 0
        self._pending: dict[Aor, int] = defaultdict(int)
        self._began = asyncio.get_running_loop().time()

    @property
    def bodies(self) -> list[str]:
        """What has arrived."""
        return [body for _, body in self.sent]

    @property
    def moments(self) -> list[int]:
        """When, in seconds from the beginning."""
        return [round(moment) for moment, _ in self.sent]

    def is_bound(self, owner: Aor) -> bool:
        return owner not in self.away

    def reaches(self, owner: Aor) -> bool:
        return self.is_bound(owner)

    async def carry(self, message: StoredMessage) -> Response | None:
        if not self.is_bound(message.owner):
            return None
        body = message.body.decode()
        self.sent.append((asyncio.get_running_loop().time() - self._began, body))
        assert not self._pending[message.owner], "RFC 3428 §8: one pending MESSAGE a recipient"
        self._pending[message.owner] += 1
        self.most_at_once = max(self.most_at_once, sum(self._pending.values()))
        self.on_arrival(body)
        try:
            await asyncio.sleep(self.takes)
        finally:
            self._pending[message.owner] -= 1
        return self._answer(body)

    def _answer(self, body: str) -> Response:
        answers = self.answers.get(body)
        answer = answers.pop(0) if answers else 200
        if isinstance(answer, Exception):
            raise answer
        return message().response(answer)
