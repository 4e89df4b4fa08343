"""How long the timers of RFC 3261 §17 run, and when the next of many is due."""

from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, floor, inf, log2
from typing import Generic, NamedTuple, TypeVar

from sipsilo.transaction.tables import Event

Item = TypeVar("Item")

_MIN_TIMER_D = 32.0
"""Seconds: the server's T1 is unknown, so Timer D does not follow ours (RFC 3261 §17.1.1.2)."""

_INVITE_TRYING = 0.2
"""Seconds after which an INVITE is answered 100 (RFC 3261 §17.2.1)."""


class Schedule(NamedTuple):
    """The timers' lengths for one kind of transport; inf: the timer is not used, 0: it fires at once."""

    lengths: dict[Event, float]
    t2: float


@dataclass(frozen=True, slots=True)
class TimerValues:
    """RFC 3261 table 4, in seconds: round-trip time estimate, longest interval of retransmissions, longest
    stay of a message in the network."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def lifetime(self) -> float:
        """64*T1: how long a client waits, and so how long a server transaction matters."""
        return 64 * self.t1

    @property
    def trying_delay(self) -> float:
        """When a client's Timer E is reset to T2; 3.5 s with the default values (RFC 4320 §4.1)."""
        elapsed = interval = self.t1
        while (interval := 2 * interval) < self.t2:
            elapsed += interval
        return elapsed

    @property
    def tick(self) -> float:
        """How exact the timers need be: about T1/32. A power of two, with which floats reckon exactly."""
        return 2.0 ** floor(log2(self.t1 / 32))

    def schedule(self, reliable: bool) -> Schedule:
        """The timers for a reliable or an unreliable transport (RFC 3261 table 4, RFC 6026 §7)."""
        lifetime = self.lifetime
        repeat = inf if reliable else self.t1
        lengths = {
            Event.TIMER_A: repeat,
            Event.TIMER_B: lifetime,
            Event.TIMER_D: 0.0 if reliable else max(_MIN_TIMER_D, lifetime),
            Event.TIMER_E: repeat,
            Event.TIMER_F: lifetime,
            Event.TIMER_G: repeat,
            Event.TIMER_H: lifetime,
            Event.TIMER_I: 0.0 if reliable else self.t4,
            Event.TIMER_J: 0.0 if reliable else lifetime,
            Event.TIMER_K: 0.0 if reliable else self.t4,
            Event.TIMER_L: lifetime,
            Event.TIMER_M: lifetime,
            Event.TIMER_TRYING: self.trying_delay,
            Event.TIMER_INVITE_TRYING: _INVITE_TRYING,
            Event.TIMER_GIVE_UP: lifetime,
        }
        return Schedule(lengths, self.t2)


class Deadlines(Generic[Item]):
    """Items by the moment at which they are due, a bucket for each tick.

    An item is never taken out early: whoever gets a due item looks whether it still matters. Adding and
    taking are O(1) for an item, O(log n) for a tick, which must be a power of two (`TimerValues.tick`).
    """

    __slots__ = ("_buckets", "_moments", "_rate")

    def __init__(self, tick: float) -> None:
        self._rate = 1 / tick
        self._moments: list[float] = []  # a heap
        self._buckets: dict[float, list[Item]] = {}

    def add(self, deadline: float, item: Item) -> None:
        """Queue an item, which will be due at its deadline or less than a tick later."""
        moment = ceil(deadline * self._rate) / self._rate
        bucket = self._buckets.get(moment)
        if bucket is None:
            self._buckets[moment] = [item]
            heappush(self._moments, moment)
        else:
            bucket.append(item)

    def next(self) -> float:
        """When `due` gives something, inf when the queue is empty."""
        return self._moments[0] if self._moments else inf

    def due(self, now: float) -> list[Item]:
        """Take out what is due, the earliest first."""
        items: list[Item] = []
        while self._moments and self._moments[0] <= now:
            items += self._buckets.pop(heappop(self._moments))
        return items
