"""Delivery: one owner's messages one after the other, many owners at once (SPEC.md chapter 4)."""

import asyncio
import time
from collections.abc import Callable
from enum import Enum, auto
from sys import maxsize
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

    def reaches(self, owner: Aor) -> bool:
        """Whether this node has a way to the owner: a contact, or one that needs none."""

    async def carry(self, message: StoredMessage) -> Response | None:
        """Send a message; the final response, None when there is no way to its owner."""


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
    """A delivery under way. `wanted`: another pass is asked for, of `limit` messages at most (None: of all).

    `claimed`: the owner is ours in the database.
    """

    __slots__ = ("claimed", "ignore_backoff", "limit", "wanted")

    def __init__(self, ignore_backoff: bool, limit: int | None) -> None:
        self.wanted = True
        self.claimed = False
        self.ignore_backoff = ignore_backoff
        self.limit = limit

    def ask(self, ignore_backoff: bool, limit: int | None) -> None:
        """One more pass; of what several ask for meanwhile, the most."""
        if self.wanted and self.limit is not None and limit is not None:
            limit = max(limit, self.limit)
        elif self.wanted:
            limit = None
        self.wanted = True
        self.limit = limit
        self.ignore_backoff |= ignore_backoff


class Delivery:
    """Delivers what is stored. At most one flush an owner, at most `parallel` flushes at a time."""

    def __init__(
        self,
        repository: Repository,
        carrier: Carrier,
        statistics: Statistics,
        parallel: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._carrier = carrier
        self._statistics = statistics
        self._clock = clock
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

    def start(self, owner: Aor, reason: Reason, limit: int | None = None) -> None:
        """Deliver what the owner has, or `limit` messages of it; if that is under way, look once more at its end."""
        if self._stopping or self._is_postponed(owner, reason):
            return
        ignore_backoff = reason is Reason.NEW_BINDING
        flush = self._flushes.get(owner)
        if flush is not None:
            flush.ask(ignore_backoff, limit)
            return
        self._flushes[owner] = _Flush(ignore_backoff, limit)
        task = asyncio.create_task(self._run(owner))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _is_postponed(self, owner: Aor, reason: Reason) -> bool:
        until = self._postponed.get(owner)
        if until is None:
            return False
        if reason is not Reason.NEW_BINDING and self._clock() < until:
            # a reminder is due in a back-off: it is sent at its time, and the back-off goes on for the rest
            return reason is not Reason.RETRY
        del self._postponed[owner]
        return False

    def postponed_until(self, owner: Aor) -> int:
        """When the owner's back-off ends, 0 when there is none."""
        until = self._postponed.get(owner, 0)
        return until if until > self._clock() else 0

    def postpone(self, owner: Aor, attempt: Attempt) -> Attempt:
        """Note a relaying that failed: the owner's back-off, which goes on if there is one, so that order is kept."""
        if attempt.status is not None and is_about_the_message(attempt.status):
            return attempt
        until = self.postponed_until(owner)
        if not until:
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
                    limit = flush.limit
                    try:
                        await self._pass(owner, ignore_backoff, limit)
                    except RepositoryError as error:
                        log.error("delivery stopped by the database", owner=str(owner), error=str(error))
                        flush.ask(ignore_backoff, limit)
                        self._start_later(owner, DATABASE_PAUSE, flush.ignore_backoff, flush.limit)
                        return
        finally:
            del self._flushes[owner]

    async def _pass(self, owner: Aor, ignore_backoff: bool, limit: int | None) -> None:
        """Go once through the owner's messages, oldest first, `limit` of them at most."""
        failure: BaseException | None = None
        try:
            await self._send_pages(owner, ignore_backoff, limit)
        except (RepositoryError, asyncio.CancelledError) as error:
            failure = error  # no `finally`, in which mypyc loses it (tests/test_compiled.py)
        flush = self._flushes[owner]
        if flush.claimed:
            flush.claimed = False
            await self._release(owner)
        if failure is not None:
            raise failure

    async def _send_pages(self, owner: Aor, ignore_backoff: bool, limit: int | None) -> None:
        flush = self._flushes[owner]
        after = 0
        left = maxsize if limit is None else limit
        while left > 0 and not self._stopping:
            now = self._clock()
            lease = now + LEASE
            size = min(PAGE, left)
            page = await self._repository.claim(PageRequest(owner, after, now, lease, ignore_backoff, size))
            if isinstance(page, Busy):
                self._start_later(owner, max(1.0, page.until - self._clock()), ignore_backoff, limit)
                return
            flush.claimed = flush.claimed or bool(page)
            sent = await self._send_page(owner, page, lease)
            left -= sent
            if sent < len(page) and self._is_over(lease):
                # The process was stopped for long: another node may have taken the owner.
                self.start(owner, Reason.RETRY, None if limit is None else left)
                return
            if sent < size:
                return
            after = page[-1].mid

    def _is_over(self, lease: float) -> bool:
        """Whether a claim that was taken until `lease` has run out, however often it was renewed."""
        return self._clock() >= max(lease, self._lease)

    async def _send_page(self, owner: Aor, page: list[StoredMessage], lease: float) -> int:
        """Send a page in order; how many of it were dealt with, less than all when the owner is done for now."""
        for count, message in enumerate(page):
            if self._stopping or self._is_over(lease):
                return count
            if message.expires > self._clock() and not await self._send(owner, message):
                return count
        return len(page)

    async def _send(self, owner: Aor, message: StoredMessage) -> bool:
        """Deliver one message; whether to go on with the next."""
        if message.mid in self._undeleted:
            await self._delete(message.mid)
            return True
        response = await self._carry(message)
        if response is None:
            self._postponed.pop(owner, None)  # whatever brings the owner back, a refresh too, tries at once
            await self._repository.forget_retries(owner, self._clock())
            return False
        verdict = judge(response)
        if verdict is Verdict.DELIVERED:
            self._statistics.count_dumped(message.is_reminder)
            await self._delete(message.mid)
            return True
        self._statistics.count_failed(message.is_reminder)
        attempt = failed_attempt(response, message.attempts, self._clock())
        log.info("not delivered", owner=str(owner), mid=message.mid, status=response.status, attempt=attempt.number)
        if verdict is Verdict.REFUSED:
            await self._repository.record(message.mid, attempt)
            return True
        # a reminder that failed in a back-off must not come before what has waited longer
        attempt = attempt._replace(next_try=max(attempt.next_try, self.postponed_until(owner)))
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

    def _start_later(self, owner: Aor, delay: float, ignore_backoff: bool, limit: int | None) -> None:
        reason = Reason.NEW_BINDING if ignore_backoff else Reason.RETRY
        asyncio.get_running_loop().call_later(delay, self.start, owner, reason, limit)

    async def _release(self, owner: Aor) -> None:
        self._unreleased.add(owner)
        await self._repository.release(owner)
        self._unreleased.discard(owner)

    async def renew_claims(self) -> None:
        """Keep what we deliver ours; to be called every third of a LEASE. Raises RepositoryError."""
        for owner in self._unreleased - self._flushes.keys():
            await self._release(owner)
        if self._flushes:
            lease = self._clock() + LEASE
            await self._repository.renew(lease)
            self._lease = lease

    async def resume(self) -> None:
        """Go on with what a restart has interrupted. Raises RepositoryError."""
        for owner in await self._repository.waiting(self._clock()):
            self.start(owner, Reason.RETRY)

    async def retry_due(self, now: float) -> bool:
        """Start what is due at a time; whether there may be more. Raises RepositoryError.

        Whom this node does not reach may be bound at another one, which will: their claim is not taken.
        """
        owners = await self._repository.due(now, DUE_AT_ONCE)
        away = []
        for owner in owners:
            if self._carrier.reaches(owner):
                self.start(owner, Reason.RETRY)
            else:
                self._postponed.pop(owner, None)
                away.append(owner)
        if away:
            await asyncio.gather(*[self._repository.forget_retries(owner, now) for owner in away])
        return len(owners) == DUE_AT_ONCE
