import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.transaction.tables import Event
from sipsilo.transaction.timers import Deadlines, TimerValues

INF = float("inf")


@pytest.mark.parametrize(
    ("timer", "unreliable", "reliable"),
    [
        # RFC 3261 table 4, RFC 6026 §7.1 and §7.2
        (Event.TIMER_A, 0.5, INF),
        (Event.TIMER_B, 32, 32),
        (Event.TIMER_D, 32, 0),
        (Event.TIMER_E, 0.5, INF),
        (Event.TIMER_F, 32, 32),
        (Event.TIMER_G, 0.5, INF),
        (Event.TIMER_H, 32, 32),
        (Event.TIMER_I, 5, 0),
        (Event.TIMER_J, 32, 0),
        (Event.TIMER_K, 5, 0),
        (Event.TIMER_L, 32, 32),
        (Event.TIMER_M, 32, 32),
        # RFC 4320 §4.1 and §4.2, RFC 3261 §17.2.1
        (Event.TIMER_TRYING, 3.5, 3.5),
        (Event.TIMER_GIVE_UP, 32, 32),
        (Event.TIMER_INVITE_TRYING, 0.2, 0.2),
    ],
)
def test_default_lengths(timer: Event, unreliable: float, reliable: float) -> None:
    values = TimerValues()
    assert values.schedule(reliable=False).lengths[timer] == unreliable
    assert values.schedule(reliable=True).lengths[timer] == reliable


@pytest.mark.parametrize(
    ("t1", "t2", "delay"),
    [(0.5, 4, 3.5), (0.25, 4, 3.75), (1, 4, 3), (1, 3, 3), (4, 4, 4), (8, 4, 8)],
)
def test_a_100_is_due_when_timer_e_is_reset_to_t2(t1: float, t2: float, delay: float) -> None:
    assert TimerValues(t1, t2).trying_delay == delay


def test_timer_d_is_at_least_32_seconds() -> None:
    assert TimerValues(t1=0.1).schedule(reliable=False).lengths[Event.TIMER_D] == 32
    assert TimerValues(t1=1).schedule(reliable=False).lengths[Event.TIMER_D] == 64


def test_nothing_is_due_in_an_empty_queue() -> None:
    queue: Deadlines[str] = Deadlines(1 / 64)
    assert queue.next() == INF
    assert queue.due(1e9) == []


def test_what_is_due_together_is_taken_together() -> None:
    queue: Deadlines[str] = Deadlines(1 / 64)
    for deadline, item in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (3.0, "d")):
        queue.add(deadline, item)
    assert queue.next() == 1
    assert queue.due(0.99) == []
    assert queue.due(1) == ["a", "b"]
    assert queue.next() == 2
    assert queue.due(3) == ["c", "d"]
    assert queue.next() == INF


@given(
    t1=st.floats(0.001, 10),
    deadlines=st.lists(st.floats(0, 1e7), min_size=1),
)
def test_an_item_is_due_within_a_tick_after_its_deadline(t1: float, deadlines: list[float]) -> None:
    tick = TimerValues(t1).tick
    assert t1 / 64 <= tick <= t1 / 32
    queue: Deadlines[float] = Deadlines(tick)
    for deadline in deadlines:
        queue.add(deadline, deadline)
    taken = []
    while (moment := queue.next()) != INF:
        items = queue.due(moment)
        assert items
        assert all(item <= moment <= item + tick for item in items)
        assert queue.next() > moment
        taken += items
    assert sorted(taken) == sorted(deadlines)
