"""What the silo needs of a database."""

from collections.abc import Awaitable, Mapping
from typing import NamedTuple, Protocol

from sipsilo.silo.message import Attempt, StoredMessage
from sipsilo.sip.uri import Aor


class RepositoryError(Exception):
    """The database did not do what was asked."""


class Unfit(RepositoryError):
    """A column of the table cannot hold what it was given; other messages it may."""


class QuotaFull(Exception):
    """The owner has as many messages as one may have (parameter max_messages); this one was not stored."""


class PageRequest(NamedTuple):
    """Which messages of an owner are asked for, for delivery by this node until the time `lease`.

    `after`: only those with a higher number. `now`: only unexpired ones, and (unless `ignore_backoff`) only
    those whose next attempt is due. Reminders are among them from their send time on.
    """

    owner: Aor
    after: int
    now: float
    lease: float
    ignore_backoff: bool
    limit: int


class Busy(NamedTuple):
    """Another node delivers to this owner, until then."""

    until: float


class Gauges(NamedTuple):
    """What there is now: messages, reminders that are due, and when the oldest message came (None for none)."""

    stored: int
    due_reminders: int
    oldest: int | None


class Repository(Protocol):
    """Messages and claims. Every method returns after its commit and raises RepositoryError."""

    def add(self, message: StoredMessage) -> Awaitable[int]:
        """Keep a message; its number.

        Raises QuotaFull when `max_messages` unexpired ones are there already, Unfit when it cannot be kept whole.
        """

    def delete(self, mid: int) -> Awaitable[None]:
        """Delete a message that was delivered."""

    def record(self, mid: int, attempt: Attempt) -> Awaitable[None]:
        """Note how an attempt ended; a reminder becomes an ordinary message."""

    def postpone(self, owner: Aor, mid: int, attempt: Attempt) -> Awaitable[None]:
        """Note an attempt after which nothing of the owner's is to be tried before `attempt.next_try`.

        A reminder becomes an ordinary message; reminders that are yet to come keep their time.
        """

    def claim(self, request: PageRequest) -> Awaitable[list[StoredMessage] | Busy]:
        """The next messages of an owner, oldest first, with the owner claimed for us when there are any."""

    def release(self, owner: Aor) -> Awaitable[None]:
        """Give up the claim on an owner."""

    def renew(self, lease: float) -> Awaitable[None]:
        """Prolong all claims of this node."""

    def forget_retries(self, owner: Aor, now: float) -> Awaitable[None]:
        """The owner is away: nothing is retried before they register; reminders after `now` keep their time.

        An owner who is bound, at another node then, is left alone.
        """

    def waiting(self, now: float) -> Awaitable[list[Aor]]:
        """Owners who are bound and have messages."""

    def due(self, now: float, limit: int) -> Awaitable[list[Aor]]:
        """Owners of unexpired messages whose next attempt, or send time, is due."""

    def next_due(self, now: float) -> Awaitable[float | None]:
        """When, later than now, the next of them is due."""

    def purge(self, now: float, limit: int) -> Awaitable[int]:
        """Delete up to `limit` expired messages; how many there were."""

    def adopt_reminders(self) -> Awaitable[None]:
        """Let `due` and `next_due` know of reminders that other programs have put into the table."""

    def gauges(self, now: float) -> Awaitable[Gauges]:
        """What there is now."""

    def publish(self, statistics: Mapping[str, int]) -> Awaitable[None]:
        """Write this node's statistics where `sipsilo stats` finds them."""
