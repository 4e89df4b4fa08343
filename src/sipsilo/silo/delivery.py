"""Delivery: one owner's messages one after the other, many owners at once (SPEC.md chapter 4)."""

import asyncio
import time
from enum import Enum, auto
from math import inf
from typing import Protocol

import structlog

from sipsilo.silo.message import Attempt, StoredMessage
from sipsilo.silo.outcome import Verdict, failed_attempt, is_about_the_message, judge
from sipsilo.silo.repository import Busy, PageRequest, Repository, RepositoryError
from sipsilo.silo.statistics import Statistics
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Response
from sipsilo.sip.uri import Aor

LEASE = 10.0
"""Seconds for which an owner is ours, unless renewed (docs/design.md, Claim, deliver, delete)."""

PAGE = 32
"""Messages of an owner read at a time: few round trips, little memory."""

DUE_AT_ONCE = 1000
"""Owners whose retry is due that are taken in one look."""

DATABASE_PAUSE = 2.0
"""Seconds before a delivery is tried again that the database has stopped."""

log = structlog.get_logger(__name__)


class Carrier(Protocol):
    """Whoever can bring a message to a contact of its owner."""

    def is_bound(self, owner: Aor) -> bool:
        """Whether the owner has a contact that takes MESSAGEs."""

    async def carry(self, message: StoredMessage) -> Response | None:
        """Send a message; the final response, None when no contact is bound."""


class Reason(Enum):
    """Why a delivery is started."""

    NEW_BINDING = auto()
    """A phone has come back: everything is tried at once."""
    REFRESH = auto()
    """A binding was refreshed."""
    STORED = auto()
    """A message was stored for somebody who is there."""
    RETRY = auto()
    """The back-off is over."""


class _Flush:
    """A delivery under way. `wanted`: another pass was asked for meanwhile; `left`: how many messages it may send."""

    __slots__ = ("ignore_backoff", "left", "wanted")

    def __init__(self, ignore_backoff: bool, left: float) -> None:
        self.wanted = True
        self.ignore_backoff = ignore_backoff
        self.left = left


class Delivery:
    """Delivers what is stored. At most one flush an owner, at most `parallel` flushes at a time."""

    def __init__(self, repository: Repository, carrier: Carrier, statistics: Statistics, parallel: int) -> None:
        self._repository = repository
        self._carrier = carrier
        self._statistics = statistics
        self._slots = asyncio.Semaphore(parallel)
        self._flushes: dict[Aor, _Flush] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._postponed: dict[Aor, int] = {}  # until when nothing is tried for an owner
        self._undeleted: set[int] = set()
        self._unreleased: set[Aor] = set()
        self._lease = 0.0
        self._stopping = False

    def is_running(self, owner: Aor) -> bool:
        """Whether a flush to this owner is under way or waits for its turn."""
        return owner in self._flushes

    @property
    def running(self) -> int:
        """How many flushes there are."""
        return len(self._flushes)

    def start(self, owner: Aor, reason: Reason, limit: float = inf) -> None:
        """Deliver what the owner has, or `limit` messages of it; if that is under way, look once more at its end."""
        if self._stopping or self._is_postponed(owner, reason):
            return
        flush = self._flushes.get(owner)
        if flush is not None:
            flush.wanted = True
            flush.left = max(flush.left, limit)
            flush.ignore_backoff |= reason is Reason.NEW_BINDING
            return
        self._flushes[owner] = _Flush(reason is Reason.NEW_BINDING, limit)
        task = asyncio.create_task(self._run(owner))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_postponed(self, owner: Aor, reason: Reason) -> bool:
        until = self._postponed.get(owner)
        if until is None:
            return False
        if reason in (Reason.STORED, Reason.REFRESH) and time.time() < until:
            return True
        del self._postponed[owner]
        return False

    def postpone(self, owner: Aor, attempt: Attempt) -> Attempt:
        """Note a relaying that failed: the owner's back-off, which goes on if there is one, so that order is kept."""
        if attempt.status is not None and is_about_the_message(attempt.status):
            return attempt
        until = self._postponed.get(owner, 0)
        if until <= time.time():
            until = self._postponed[owner] = attempt.next_try
        return attempt._replace(next_try=until)

    async def delivered_elsewhere(self, mid: int) -> None:
        """A stored message has arrived by another way: it is not sent, and deleted as soon as that can be."""
        try:
            await self._delete(mid)
        except RepositoryError as error:
            log.error("database", work="delete", mid=mid, error=str(error))

    async def stop(self, timeout: float) -> None:
        """Start nothing more; let the messages in flight end, for at most `timeout` seconds."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, owner: Aor) -> None:
        flush = self._flushes[owner]
        try:
            async with self._slots:
                while flush.wanted and not self._stopping:
                    flush.wanted = False
                    ignore_backoff, flush.ignore_backoff = flush.ignore_backoff, False
                    try:
                        await self._pass(owner, ignore_backoff)
                    except RepositoryError as error:
                        log.error("delivery stopped by the database", owner=str(owner), error=str(error))
                        self._start_later(owner, DATABASE_PAUSE, ignore_backoff or flush.ignore_backoff)
                        return
        finally:
            del self._flushes[owner]

    async def _pass(self, owner: Aor, ignore_backoff: bool) -> None:
        """Go once through the owner's messages, oldest first."""
        after, claimed = 0, False
        try:
            while not self._stopping:
                now = time.time()
                lease = now + LEASE
                page = await self._repository.claim(PageRequest(owner, after, now, lease, ignore_backoff, PAGE))
                if isinstance(page, Busy):
                    self._start_later(owner, max(1.0, page.until - time.time()), ignore_backoff)
                    return
                claimed = claimed or bool(page)
                sent = await self._send_page(owner, page, lease)
                if sent < PAGE:
                    return
                after = page[-1].mid
        finally:
            if claimed:
                await self._release(owner)

    async def _send_page(self, owner: Aor, page: list[StoredMessage], lease: float) -> int:
        """Send a page in order; how many of it were dealt with, less than all when the owner is done for now."""
        flush = self._flushes[owner]
        for count, message in enumerate(page):
            if self._stopping or flush.left <= 0:
                return count
            now = time.time()
            if now >= max(lease, self._lease):
                # The process was stopped for long: another node may have taken the owner.
                flush.wanted = True
                return count
            if message.expires <= now:
                continue
            flush.left -= 1
            if not await self._send(owner, message):
                return count
        return len(page)

    async def _send(self, owner: Aor, message: StoredMessage) -> bool:
        """Deliver one message; whether to go on with the next."""
        if message.mid in self._undeleted:
            await self._delete(message.mid)
            return True
        response = await self._carry(message)
        if response is None:
            await self._repository.forget_retries(owner)
            return False
        verdict = judge(response)
        if verdict is Verdict.DELIVERED:
            self._statistics.dumped_messages += 1
            await self._delete(message.mid)
            return True
        self._statistics.failed_messages += 1
        attempt = failed_attempt(response, message.attempts, time.time())
        log.info("not delivered", owner=str(owner), mid=message.mid, status=response.status, attempt=attempt.number)
        if verdict is Verdict.REFUSED:
            await self._repository.record(message.mid, attempt)
            return True
        self._postponed[owner] = attempt.next_try
        await self._repository.postpone(owner, message.mid, attempt)
        return False

    async def _carry(self, message: StoredMessage) -> Response | None:
        try:
            return await self._carrier.carry(message)
        except SipError as error:
            # a row that another program wrote, of which no MESSAGE can be made
            return Response(error.status, error.reason, [])

    async def _delete(self, mid: int) -> None:
        """Delete what was delivered; if the database cannot now, it is not sent again for that."""
        self._undeleted.add(mid)
        await self._repository.delete(mid)
        self._undeleted.discard(mid)

    def _start_later(self, owner: Aor, delay: float, ignore_backoff: bool) -> None:
        reason = Reason.NEW_BINDING if ignore_backoff else Reason.RETRY
        asyncio.get_running_loop().call_later(delay, self.start, owner, reason, self._flushes[owner].left)

    async def _release(self, owner: Aor) -> None:
        self._unreleased.add(owner)
        await self._repository.release(owner)
        self._unreleased.discard(owner)

    async def renew_claims(self) -> None:
        """Keep what we deliver ours; to be called every third of a LEASE. Raises RepositoryError."""
        for owner in self._unreleased - self._flushes.keys():
            await self._release(owner)
        if self._flushes:
            lease = time.time() + LEASE
            await self._repository.renew(lease)
            self._lease = lease

    async def resume(self) -> None:
        """Go on with what a restart has interrupted. Raises RepositoryError."""
        for owner in await self._repository.waiting(time.time()):
            self.start(owner, Reason.RETRY)

    async def retry_due(self) -> bool:
        """Start what is due after a back-off; whether there may be more. Raises RepositoryError."""
        owners = await self._repository.due(time.time(), DUE_AT_ONCE)
        for owner in owners:
            self.start(owner, Reason.RETRY)
        return len(owners) == DUE_AT_ONCE
