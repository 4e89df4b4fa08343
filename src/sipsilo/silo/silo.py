"""The silo as its users see it: store, deliver, and the work that time does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import structlog

from sipsilo.silo.delivery import LEASE, Carrier, Delivery, Reason
from sipsilo.silo.message import AS_IT_IS, NOT_TRIED, Attempt, NotStorable, StoredMessage, StoreOptions
from sipsilo.silo.repository import QuotaFull, Repository, RepositoryError, Unfit
from sipsilo.silo.statistics import Statistics
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor

PURGE_AT_ONCE = 1000
"""Expired messages deleted in one transaction, so that stores need not wait long behind it."""

PAUSE_WHEN_MANY = 1.0
"""Seconds between two looks when more is due than one look takes."""

SHORTEST_PAUSE = 0.01
"""Seconds; a timer that fires a little early must not make the silo spin."""

PUBLISH_PERIOD = 1.0
"""Seconds for which the statistics in the database may be behind."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SiloSettings:
    """Guide chapter 1.3: times in seconds, clean_period in check_times; `reminder` is a URI, "" for none."""

    expire_time: int = 259_200
    check_time: float = 30
    clean_period: int = 5
    parallel_deliveries: int = 256
    reminder: str = ""
    send_time: float = 0

    @property
    def reminders(self) -> bool:
        """Whether there are reminders (guide chapters 1.3.7 and 1.3.11)."""
        return self.reminder != "" and self.send_time > 0


class Silo:
    """Keeps messages and delivers them. `clock` gives Unix time."""

    def __init__(
        self,
        repository: Repository,
        carrier: Carrier,
        settings: SiloSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.statistics = Statistics()
        self._repository = repository
        self._carrier = carrier
        self._settings = settings
        self._clock = clock
        self._delivery = Delivery(repository, carrier, self.statistics, settings.parallel_deliveries, clock)
        self._tasks: list[asyncio.Task[None]] = []
        self._late: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._wakes_at = inf
        self._published: dict[str, int] = {}

    async def start(self) -> None:
        """Begin the periodic work, and go on with what a restart interrupted. Raises RepositoryError."""
        await self._delivery.resume()
        clean = self._settings.check_time * self._settings.clean_period
        self._tasks = [
            asyncio.create_task(self._every(LEASE / 3, self._delivery.renew_claims)),
            asyncio.create_task(self._retry()),
            asyncio.create_task(self._every(clean, self.purge)),
            asyncio.create_task(self._every(PUBLISH_PERIOD, self._publish)),
        ]

    async def stop(self, timeout: float) -> None:
        """End the periodic work and, within `timeout` seconds, the deliveries under way."""
        for task in self._tasks:
            task.cancel()
        await self._delivery.stop(timeout)
        await asyncio.gather(*self._late, *self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._publish()

    async def store(
        self, request: Request, owner: Aor, attempt: Attempt = NOT_TRIED, options: StoreOptions = AS_IT_IS
    ) -> int:
        """Keep a MESSAGE for its owner; its number, once it is committed.

        `attempt` is the relaying that failed before; a reminder has none. Raises NotStorable (a full quota is a
        480), SipError, RepositoryError.
        """
        if options.send_time and not self._settings.reminders:
            raise NotStorable(480, "Reminders Are Off")
        tried = attempt is not NOT_TRIED
        if options.send_time:
            attempt = NOT_TRIED
        elif tried:
            attempt = self._delivery.postpone(owner, attempt)
        elif until := self._delivery.postponed_until(owner):
            attempt = attempt._replace(next_try=until)  # in a back-off it queues behind what has failed
        message = StoredMessage.from_request(
            request, owner, self._clock(), self._settings.expire_time, attempt, options
        )
        try:
            mid = await self._repository.add(message)
        except QuotaFull:
            raise NotStorable(480, "Mailbox Full") from None
        except Unfit as error:
            log.warning("does not fit the table", owner=str(owner), error=str(error))
            raise NotStorable(513, "Message Too Large To Be Stored") from None
        self.statistics.stored_messages += 1
        if message.is_reminder:
            self._wake_for(message.send_time)
        # The owner may have registered between the look at the bindings and the commit.
        elif not tried and self._carrier.is_bound(owner):
            self._delivery.start(owner, Reason.STORED)
        return mid

    def delivered_late(self, mid: int) -> None:
        """A relay that had been given up succeeded after all: what was stored for it is deleted."""
        task = asyncio.create_task(self._delivery.delivered_elsewhere(mid))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def deliver(self, owner: Aor, *, new_binding: bool, limit: int | None = None) -> None:
        """Send the owner what is stored, or the `limit` oldest messages; `new_binding`: whatever the back-off says.

        While that lasts, a call without a limit makes it all of them.
        """
        self._delivery.start(owner, Reason.NEW_BINDING if new_binding else Reason.REFRESH, limit)

    def is_delivering(self, owner: Aor) -> bool:
        """Whether a delivery to the owner is under way, behind which new messages must queue."""
        return self._delivery.is_running(owner)

    async def purge(self) -> None:
        """Delete what has expired. Raises RepositoryError."""
        while await self._repository.purge(self._clock(), PURGE_AT_ONCE) == PURGE_AT_ONCE:
            pass

    # -- what is due

    async def _retry(self) -> None:
        """Start what is due: at its time, and looking for more every check_time, or send_time with reminders."""
        period = self._settings.check_time
        if self._settings.reminders:
            period = min(period, self._settings.send_time)
        adopt_at = 0.0
        while True:
            # a reminder that is stored during the look counts as earlier than whatever the look finds
            self._wakes_at = inf
            self._woken.clear()
            wakes_at = self._clock() + period
            try:
                if self._settings.reminders and self._clock() >= adopt_at:
                    adopt_at = self._clock() + self._settings.send_time
                    await self._repository.adopt_reminders()
                now = self._clock()  # the same for both, or what becomes due between them is overlooked
                more = await self._delivery.retry_due(now)
                due = await self._repository.next_due(now)
                if more:
                    wakes_at = self._clock() + PAUSE_WHEN_MANY
                elif due is not None:
                    wakes_at = min(wakes_at, due)
            except RepositoryError as error:
                log.error("database", work="retries", error=str(error))
            await self._sleep_until(wakes_at)

    async def _sleep_until(self, moment: float) -> None:
        self._wakes_at = moment
        with suppress(TimeoutError):
            async with asyncio.timeout(max(SHORTEST_PAUSE, moment - self._clock())):
                await self._woken.wait()

    def _wake_for(self, moment: float) -> None:
        """Something is due then: the look for what is due must not sleep longer."""
        if moment < self._wakes_at:
            self._wakes_at = moment
            self._woken.set()

    # -- the rest

    async def _publish(self) -> None:
        counts = self.statistics.snapshot()
        if counts == self._published:
            return
        with suppress(RepositoryError):  # the next second tries again; others tell that the database is down
            await self._repository.publish(counts)
            self._published = counts

    async def _every(self, period: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(period)
            try:
                await work()
            except RepositoryError as error:
                log.error("database", work=work.__name__, error=str(error))
