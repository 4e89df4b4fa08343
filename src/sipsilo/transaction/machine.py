"""What the four kinds of transaction share: a place in a table, and its timers."""

from math import inf
from typing import ClassVar

from sipsilo.sip.message import Request
from sipsilo.transaction.tables import INITIAL, REQUEST, Action, Event, State, Table
from sipsilo.transaction.timers import Schedule

_RESTARTS = frozenset((Action.RESTART_DOUBLED, Action.RESTART_DOUBLED_TO_T2, Action.RESTART_T2))


class TransactionError(Exception):
    """The transaction user asks for what RFC 3261 does not allow; nothing has changed."""


class Transaction:
    """One transaction. `request` and `context` are for its user, who may change `context` at will.

    No more than two timers run at a time: one that sends something (again) and one that ends the state. The
    layer keeps in `waits_for` for which moment it has put the transaction into its queue.
    """

    __slots__ = (
        "_end",
        "_end_at",
        "_interval",
        "_repeat",
        "_repeat_at",
        "_schedule",
        "context",
        "key",
        "request",
        "state",
        "waits_for",
    )

    TABLE: ClassVar[Table]

    def __init__(self, key: str, request: Request, schedule: Schedule, context: object, now: float) -> None:
        self.key = key
        self.request = request
        self.context = context
        self.state: State = INITIAL
        self.waits_for = inf
        self._schedule = schedule
        self._end_at = self._repeat_at = inf
        self.take(REQUEST, now)

    def take(self, event: Event, now: float) -> tuple[Action, ...] | None:
        """Go the step that the table has for this event; returns what is to be done.

        None, and nothing changed, when the table has no row. A timer of length zero fires at once.
        """
        step = self.TABLE.get((self.state, event))
        if step is None:
            return None
        self.state, actions, end, repeat = step
        if end is not None or repeat is not None:
            lengths = self._schedule.lengths
            self._end_at = self._repeat_at = inf
            if repeat is not None:
                self._repeat = repeat
                self._interval = lengths[repeat]
                self._repeat_at = now + self._interval
            if end is not None:
                self._end = end
                self._end_at = now + lengths[end]
                if self._end_at == now:
                    self.fire(now)
        return actions

    def fire(self, now: float) -> tuple[Action, ...]:
        """Go the step of the timer that is due, if one is; returns what is to be done."""
        if self._end_at <= now:
            self._end_at = inf
            return self.take(self._end, now) or ()
        if self._repeat_at > now:
            return ()
        self._repeat_at = inf
        actions = self.take(self._repeat, now) or ()
        for action in actions:
            if action in _RESTARTS:
                self._restart(action, now)
        return actions

    def _restart(self, action: Action, now: float) -> None:
        if action is Action.RESTART_DOUBLED:
            self._interval *= 2
        elif action is Action.RESTART_DOUBLED_TO_T2:
            self._interval = min(2 * self._interval, self._schedule.t2)
        else:
            self._interval = self._schedule.t2
        self._repeat_at = now + self._interval

    def next_timer(self) -> float:
        """When `fire` has something to do, inf for never."""
        end, repeat = self._end_at, self._repeat_at
        return end if end < repeat else repeat  # noqa: FURB136  min() takes twice as long
