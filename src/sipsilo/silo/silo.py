"""The silo as its users see it: store, deliver, and the work that time does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

import structlog

from sipsilo.silo.delivery import LEASE, Carrier, Delivery, Reason
from sipsilo.silo.message import NOT_TRIED, Attempt, StoredMessage
from sipsilo.silo.repository import Repository, RepositoryError
from sipsilo.silo.statistics import Statistics
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor

PURGE_AT_ONCE = 1000
"""Expired messages deleted in one transaction, so that stores need not wait long behind it."""

SHORTEST_PAUSE = 1.0
"""Seconds between two looks for due retries."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SiloSettings:
    """Guide chapter 1.3: times in seconds, clean_period in check_times."""

    expire_time: int = 259_200
    check_time: float = 30
    clean_period: int = 5
    parallel_deliveries: int = 256


class Silo:
    """Keeps messages and delivers them."""

    def __init__(self, repository: Repository, carrier: Carrier, settings: SiloSettings) -> None:
        self.statistics = Statistics()
        self._repository = repository
        self._carrier = carrier
        self._settings = settings
        self._delivery = Delivery(repository, carrier, self.statistics, settings.parallel_deliveries)
        self._tasks: list[asyncio.Task[None]] = []
        self._late: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin the periodic work, and go on with what a restart interrupted. Raises RepositoryError."""
        await self._delivery.resume()
        clean = self._settings.check_time * self._settings.clean_period
        self._tasks = [
            asyncio.create_task(self._every(LEASE / 3, self._delivery.renew_claims)),
            asyncio.create_task(self._retry()),
            asyncio.create_task(self._every(clean, self.purge)),
        ]

    async def stop(self, timeout: float) -> None:
        """End the periodic work and, within `timeout` seconds, the deliveries under way."""
        for task in self._tasks:
            task.cancel()
        await self._delivery.stop(timeout)
        await asyncio.gather(*self._late)

    async def store(self, request: Request, owner: Aor, attempt: Attempt = NOT_TRIED) -> int:
        """Keep a MESSAGE for its owner; its number, once it is committed.

        `attempt` is the relaying that failed before. Raises NotStorable, SipError, RepositoryError.
        """
        if attempt is not NOT_TRIED:
            attempt = self._delivery.postpone(owner, attempt)
        message = StoredMessage.from_request(request, owner, time.time(), self._settings.expire_time, attempt)
        mid = await self._repository.add(message)
        self.statistics.stored_messages += 1
        # The owner may have registered between the look at the bindings and the commit.
        if attempt is NOT_TRIED and self._carrier.is_bound(owner):
            self._delivery.start(owner, Reason.STORED)
        return mid

    def delivered_late(self, mid: int) -> None:
        """A relay that had been given up succeeded after all: what was stored for it is deleted."""
        task = asyncio.create_task(self._delivery.delivered_elsewhere(mid))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def deliver(self, owner: Aor, *, new_binding: bool, limit: int | None = None) -> None:
        """Send the owner what is stored, at most `limit` messages; `new_binding`: whatever the back-off says."""
        reason = Reason.NEW_BINDING if new_binding else Reason.REFRESH
        self._delivery.start(owner, reason, inf if limit is None else limit)

    def is_delivering(self, owner: Aor) -> bool:
        """Whether a delivery to the owner is under way, behind which new messages must queue."""
        return self._delivery.is_running(owner)

    async def purge(self) -> None:
        """Delete what has expired. Raises RepositoryError."""
        while await self._repository.purge(time.time(), PURGE_AT_ONCE) == PURGE_AT_ONCE:
            pass

    async def _retry(self) -> None:
        """Look for due retries, when the next is due or at every check_time."""
        while True:
            pause = self._settings.check_time
            try:
                more = await self._delivery.retry_due()
                due = await self._repository.next_due(time.time())
                if more:
                    pause = SHORTEST_PAUSE
                elif due is not None:
                    pause = min(pause, due - time.time())
            except RepositoryError as error:
                log.error("database", work="retries", error=str(error))
            await asyncio.sleep(max(SHORTEST_PAUSE, pause))

    async def _every(self, period: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(period)
            try:
                await work()
            except RepositoryError as error:
                log.error("database", work=work.__name__, error=str(error))
