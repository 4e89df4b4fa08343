"""Delivery: in order, one at a time, nothing twice, nothing lost (SPEC.md chapter 4)."""

import asyncio
import time
from collections.abc import Callable, Coroutine

import pytest

from sipsilo.silo.delivery import DATABASE_PAUSE, LEASE, PAGE, Delivery, Reason
from sipsilo.silo.message import AT_REGISTRATION, NEVER
from sipsilo.silo.statistics import Statistics
from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import Aor
from tests.loop import run_in_virtual_time
from tests.silo.memory import MemoryRepository, Phones, Tables
from tests.silo.samples import ALICE, BOB

Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda scenario: run_in_virtual_time(scenario, monkeypatch)


class Node:
    """A delivery with its database and its phones."""

    def __init__(
        self, phones: Phones | None = None, tables: Tables | None = None, name: str = "one", parallel: int = 10
    ) -> None:
        self.repository = MemoryRepository(tables, name)
        self.tables = self.repository.tables
        self.phones = phones or Phones()
        self.statistics = Statistics()
        self.delivery = Delivery(self.repository, self.phones, self.statistics, parallel, time.time)

    async def deliver(self, reason: Reason = Reason.NEW_BINDING, owner: Aor = BOB) -> None:
        """Start, and wait for the end."""
        self.delivery.start(owner, reason)
        await self.ended()

    async def ended(self) -> None:
        """All flushes are over."""
        while self.delivery.running:  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.01)

    @property
    def counts(self) -> tuple[int, int]:
        """Messages delivered and failed."""
        return self.statistics.dumped_messages, self.statistics.failed_messages


def test_messages_go_out_in_order_and_are_deleted(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        bodies = [f"{number}" for number in range(2 * PAGE + 10)]
        node.tables.put(*bodies)
        await node.deliver()
        assert node.phones.bodies == bodies
        assert (node.tables.messages, node.tables.claims) == ({}, {})
        assert node.counts == (len(bodies), 0)

    run(scenario())


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
def test_number_of_messages_does_not_matter(run: Run, count: int) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put(*map(str, range(count)))
        await node.deliver()
        assert node.phones.bodies == [*map(str, range(count))]
        assert node.tables.claims == {}
        assert not node.delivery.is_running(BOB)

    run(scenario())


def test_each_delete_is_committed_before_the_next_message(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        left: list[list[str]] = []
        node.phones.on_arrival = lambda body: left.append(node.tables.bodies())
        node.tables.put("one", "two", "three")
        await node.deliver()
        assert left == [["one", "two", "three"], ["two", "three"], ["three"]]

    run(scenario())


@pytest.mark.parametrize("status", [302, 401, 403, 404, 408, 480, 481, 486, 500, 503, 504])
def test_contact_that_takes_nothing_stops_the_flush(run: Run, status: int) -> None:
    """At the first timeout; the rest is kept, and nothing of it is tried before the back-off is over."""

    async def scenario() -> None:
        node = Node(Phones(two=[status]))
        node.tables.put("one", "two", "three", "four")
        await node.deliver()
        assert node.phones.bodies == ["one", "two"]
        assert node.tables.bodies() == ["two", "three", "four"]
        tried = node.tables.of("two")
        assert (tried.attempts, tried.last_status) == (1, status)
        assert 30 <= tried.next_try - time.time() <= 40
        assert {node.tables.of(body).next_try for body in ("three", "four")} == {tried.next_try}
        assert node.tables.of("three").attempts == 0
        assert (node.counts, node.tables.claims) == ((1, 1), {})

    run(scenario())


@pytest.mark.parametrize("status", [400, 406, 413, 414, 415, 416, 420, 421, 488, 493, 494, 513])
def test_message_that_is_refused_for_itself_does_not_block_those_behind(run: Run, status: int) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[status, status], two=[status]))
        node.tables.put("one", "two", "three")
        await node.deliver()
        assert node.phones.bodies == ["one", "two", "three"]
        assert node.tables.bodies() == ["one", "two"]
        assert (node.tables.of("one").attempts, node.tables.of("one").last_status) == (1, status)
        # what comes meanwhile is not held up by their back-off
        node.tables.put("four")
        await node.deliver(Reason.STORED)
        assert node.phones.bodies[3:] == ["four"]
        # another phone may take them
        await node.deliver(Reason.NEW_BINDING)
        assert node.phones.bodies[4:] == ["one", "two"]
        assert node.tables.of("one").attempts == 2

    run(scenario())


@pytest.mark.parametrize("place", [0, PAGE - 2, PAGE - 1, PAGE, PAGE + 1])
def test_place_of_the_message_that_is_not_taken_does_not_matter(run: Run, place: int) -> None:
    async def scenario() -> None:
        bodies = [f"{number}" for number in range(2 * PAGE)]
        node = Node(Phones(**{bodies[place]: [480]}))
        node.tables.put(*bodies)
        await node.deliver()
        assert node.phones.bodies == bodies[: place + 1]
        assert node.tables.bodies() == bodies[place:]

    run(scenario())


def test_refused_messages_are_tried_once_in_a_flush(run: Run) -> None:
    """They stay, so the next page begins behind them."""

    async def scenario() -> None:
        bodies = [f"{number}" for number in range(2 * PAGE)]
        node = Node(Phones(**{body: [415] * 3 for body in bodies[: PAGE + 3]}))
        node.phones.takes = 0.1
        node.tables.put(*bodies)
        await node.deliver()
        assert node.phones.bodies == bodies
        assert node.tables.bodies() == bodies[: PAGE + 3]

    run(scenario())


def test_6xx_is_never_tried_again(run: Run) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[603]))
        node.tables.put("one", "two")
        await node.deliver()
        await asyncio.sleep(10_000)
        for reason in Reason:
            await node.deliver(reason)
        await node.delivery.retry_due(time.time())
        await node.ended()
        assert node.phones.bodies == ["one", "two"]
        assert node.tables.of("one").next_try == NEVER

    run(scenario())


def test_retry_comes_after_the_back_off(run: Run) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[408, 408]))
        node.tables.put("one", "two")
        await node.deliver()
        for _ in range(2):
            await asyncio.sleep(node.tables.of("one").next_try - time.time() - 1)
            await node.delivery.retry_due(time.time())
            await node.ended()
            tried = len(node.phones.sent)
            await asyncio.sleep(1)
            await node.delivery.retry_due(time.time())
            await node.ended()
            assert len(node.phones.sent) > tried
        assert node.phones.bodies == ["one", "one", "one", "two"]
        first, second, third, _ = node.phones.moments
        assert 30 <= second - first <= 41
        assert 60 <= third - second <= 79

    run(scenario())


def test_new_binding_retries_at_once(run: Run) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[408]))
        node.tables.put("one", "two")
        await node.deliver()
        await node.deliver(Reason.NEW_BINDING)
        assert node.phones.bodies == ["one", "one", "two"]
        assert node.tables.messages == {}

    run(scenario())


@pytest.mark.parametrize("reason", [Reason.REFRESH, Reason.STORED])
def test_refresh_during_the_back_off_does_nothing(run: Run, reason: Reason) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[408]))
        node.tables.put("one")
        await node.deliver()
        until = node.tables.of("one").next_try
        node.tables.put("two")
        asked = len(node.repository.calls)
        while time.time() < until - 5:
            await node.deliver(reason)
            await asyncio.sleep(3)
        assert (node.phones.bodies, len(node.repository.calls)) == (["one"], asked)
        await asyncio.sleep(5)
        await node.deliver(reason)
        assert node.phones.bodies == ["one", "one", "two"]

    run(scenario())


def test_back_off_of_one_owner_does_not_touch_another(run: Run) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[408]))
        node.tables.put("one")
        await node.deliver()
        node.tables.put("hers", owner=ALICE)
        await node.deliver(Reason.STORED, ALICE)
        assert node.phones.bodies == ["one", "hers"]

    run(scenario())


def test_message_that_is_stored_during_a_flush_is_delivered_in_it(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one", "two")
        node.delivery.start(BOB, Reason.NEW_BINDING)
        await asyncio.sleep(1.5)
        node.tables.put("three")
        node.delivery.start(BOB, Reason.STORED)
        await node.ended()
        assert node.phones.bodies == ["one", "two", "three"]

    run(scenario())


def test_message_that_is_stored_at_the_end_of_a_flush_is_not_forgotten(run: Run) -> None:
    """At whatever moment of the last message."""

    async def scenario() -> None:
        for step in (*range(0, 20, 2), *range(980, 1030)):
            node = Node()
            node.tables.put("one")
            node.delivery.start(BOB, Reason.NEW_BINDING)
            await asyncio.sleep(step / 1000 + 0.0005)
            node.tables.put("two")
            node.delivery.start(BOB, Reason.STORED)
            await node.ended()
            assert node.phones.bodies == ["one", "two"]

    run(scenario())


def test_silence_during_a_flush_holds_back_what_was_stored_in_it(run: Run) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[408]))
        node.tables.put("one")
        node.delivery.start(BOB, Reason.NEW_BINDING)
        await asyncio.sleep(0.5)
        node.tables.put("two")
        node.delivery.start(BOB, Reason.STORED)
        await node.ended()
        assert node.phones.bodies == ["one"]
        assert node.tables.of("two").next_try == node.tables.of("one").next_try

    run(scenario())


def test_new_binding_during_a_flush_tries_what_had_failed(run: Run) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[415], two=[408]))
        node.tables.put("one", "two")
        node.delivery.start(BOB, Reason.NEW_BINDING)
        await asyncio.sleep(1.5)
        node.delivery.start(BOB, Reason.NEW_BINDING)
        await node.ended()
        assert node.phones.bodies == ["one", "two", "one", "two"]
        assert node.tables.messages == {}

    run(scenario())


@pytest.mark.parametrize("reason", Reason)
def test_nothing_is_sent_twice_when_a_flush_is_started_again_and_again(run: Run, reason: Reason) -> None:
    async def scenario() -> None:
        node = Node()
        bodies = [f"{number}" for number in range(40)]
        node.tables.put(*bodies)
        node.delivery.start(BOB, Reason.NEW_BINDING)
        while node.delivery.running:
            await asyncio.sleep(0.3)
            if node.tables.messages:
                node.delivery.start(BOB, reason)
        assert node.phones.bodies == bodies

    run(scenario())


def test_owners_are_served_together_up_to_the_cap(run: Run) -> None:
    async def scenario() -> None:
        node = Node(parallel=3)
        owners = [Aor(f"user{number}", "example.org") for number in range(10)]
        for owner in owners:
            node.tables.put("one", "two", owner=owner)
            node.delivery.start(owner, Reason.NEW_BINDING)
        assert node.delivery.running == 10
        await node.ended()
        assert node.phones.most_at_once == 3
        assert (len(node.phones.sent), node.tables.messages) == (20, {})
        # 10 owners by 3, two messages of a second each
        assert asyncio.get_running_loop().time() == pytest.approx(8, abs=0.5)

    run(scenario())


def test_owner_whom_another_node_serves_is_waited_for(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one")
        node.tables.claims[BOB] = ("other", time.time() + 7)
        await node.deliver()
        assert node.phones.bodies == []
        assert node.tables.claims[BOB][0] == "other"
        await asyncio.sleep(8)
        await node.ended()
        assert node.phones.bodies == ["one"]
        assert node.phones.moments[0] in (7, 8)

    run(scenario())


def test_new_binding_retries_at_once_when_another_node_is_done(run: Run) -> None:
    """It was the reason why this delivery began; that it had to wait changes nothing."""

    async def scenario() -> None:
        node = Node()
        node.tables.put("one", next_try=int(time.time()) + 3000)
        node.tables.claims[BOB] = ("other", time.time() + 7)
        await node.deliver(Reason.NEW_BINDING)
        await asyncio.sleep(20)
        await node.ended()
        assert node.phones.bodies == ["one"]

    run(scenario())


def test_two_nodes_send_each_message_once(run: Run) -> None:
    async def scenario() -> None:
        phones, tables = Phones(), Tables()
        nodes = [Node(phones, tables, name) for name in ("one", "two")]
        bodies = [f"{number}" for number in range(30)]
        tables.put(*bodies)
        for _ in range(60):
            for node in nodes:
                node.delivery.start(BOB, Reason.REFRESH)
                await node.delivery.renew_claims()
            await asyncio.sleep(1)
        for node in nodes:
            await node.ended()
        assert phones.bodies == bodies

    run(scenario())


def test_claim_is_kept_while_it_is_renewed(run: Run) -> None:
    """A message may take longer than a lease."""

    async def scenario() -> None:
        phones, tables = Phones(), Tables()
        phones.takes = 4 * LEASE
        one, two = (Node(phones, tables, name) for name in ("one", "two"))
        tables.put("one", "two")
        one.delivery.start(BOB, Reason.NEW_BINDING)
        while one.delivery.running:
            await asyncio.sleep(LEASE / 3)
            await one.delivery.renew_claims()
            two.delivery.start(BOB, Reason.REFRESH)
        await two.ended()
        assert phones.bodies == ["one", "two"]

    run(scenario())


def test_node_that_has_lost_its_claim_sends_nothing_more(run: Run) -> None:
    """It was stopped for longer than its lease, and another has gone on."""

    async def scenario() -> None:
        phones, tables = Phones(), Tables()
        phones.takes = LEASE + 1
        one, two = (Node(phones, tables, name) for name in ("one", "two"))
        tables.put("one", "two", "three")
        one.delivery.start(BOB, Reason.NEW_BINDING)
        await asyncio.sleep(LEASE + 0.5)
        tables.claims[BOB] = ("two", time.time() + 1000)
        await asyncio.sleep(100)
        assert phones.bodies == ["one"]
        assert tables.bodies() == ["two", "three"]
        assert tables.claims[BOB][0] == "two"
        await one.delivery.stop(0)
        await two.delivery.stop(0)

    run(scenario())


def test_nothing_is_renewed_when_nothing_is_delivered(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        await node.delivery.renew_claims()
        assert node.repository.calls == []

    run(scenario())


@pytest.mark.parametrize("operation", ["claim", "delete"])
def test_delivery_goes_on_when_the_database_is_back(run: Run, operation: str) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one", "two")
        node.repository.broken = {operation}
        await node.deliver()
        await asyncio.sleep(3 * DATABASE_PAUSE)
        node.repository.broken = set()
        await asyncio.sleep(DATABASE_PAUSE + 5)
        await node.ended()
        assert node.phones.bodies == ["one", "two"]
        assert (node.tables.messages, node.tables.claims) == ({}, {})
        assert node.counts == (2, 0)

    run(scenario())


def test_claim_that_could_not_be_given_up_runs_out(run: Run) -> None:
    """While this node goes on serving others; else no other node could ever serve this owner."""

    async def scenario() -> None:
        phones, tables = Phones(), Tables()
        one, two = (Node(phones, tables, name) for name in ("one", "two"))
        tables.put("one")
        one.repository.broken = {"release"}
        await one.deliver()
        await asyncio.sleep(2 * DATABASE_PAUSE)
        one.repository.broken = set()
        tables.put(*map(str, range(100)), owner=ALICE)
        one.delivery.start(ALICE, Reason.NEW_BINDING)
        tables.put("two")
        two.delivery.start(BOB, Reason.REFRESH)
        for _ in range(20):
            await asyncio.sleep(LEASE / 3)
            await one.delivery.renew_claims()
        assert "two" in phones.bodies
        await one.delivery.stop(1)
        await two.delivery.stop(1)

    run(scenario())


@pytest.mark.parametrize(("operation", "status"), [("record", 415), ("postpone", 408)])
def test_failure_that_could_not_be_noted_stops_the_flush(run: Run, operation: str, status: int) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[status]))
        node.tables.put("one", "two")
        node.repository.broken = {operation}
        await node.deliver()
        assert node.phones.bodies == ["one"]
        node.repository.broken = set()
        await asyncio.sleep(DATABASE_PAUSE + 10)
        await node.ended()
        assert node.phones.bodies == ["one", "one", "two"]
        assert node.tables.messages == {}

    run(scenario())


@pytest.mark.parametrize("kind", ["broken", "lossy"])
def test_message_whose_delete_failed_is_not_sent_again(run: Run, kind: str) -> None:
    """`lossy`: it was deleted, and only the answer got lost."""

    async def scenario() -> None:
        node = Node()
        node.tables.put("one", "two")
        getattr(node.repository, kind).add("delete")
        await node.deliver()
        for _ in range(5):
            await asyncio.sleep(DATABASE_PAUSE)
            await node.deliver(Reason.NEW_BINDING)
        assert "one" in node.phones.bodies
        getattr(node.repository, kind).clear()
        await node.deliver(Reason.NEW_BINDING)
        assert node.phones.bodies == ["one", "two"]
        assert (node.tables.messages, node.counts) == ({}, (2, 0))

    run(scenario())


def test_new_binding_retries_at_once_when_the_database_is_back(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one", next_try=int(time.time()) + 3000)
        node.repository.broken = {"claim"}
        await node.deliver(Reason.NEW_BINDING)
        node.repository.broken = set()
        await asyncio.sleep(DATABASE_PAUSE + 2)
        await node.ended()
        assert node.phones.bodies == ["one"]

    run(scenario())


def test_nothing_is_retried_for_an_owner_who_is_away(run: Run) -> None:
    async def scenario() -> None:
        node = Node(Phones(one=[408]))
        node.tables.put("one", "two")
        await node.deliver()
        node.phones.away.add(BOB)
        await asyncio.sleep(60)
        await node.delivery.retry_due(time.time())
        await node.ended()
        assert {each.next_try for each in node.tables.messages.values()} == {AT_REGISTRATION}
        assert await node.repository.next_due(time.time()) is None
        assert node.phones.bodies == ["one"]
        # even a refresh tries at once then: it is a return
        node.phones.away.clear()
        await node.deliver(Reason.REFRESH)
        assert node.phones.bodies == ["one", "one", "two"]

    run(scenario())


def test_retry_of_an_owner_who_is_bound_at_another_node_is_left_to_it(run: Run) -> None:
    async def scenario() -> None:
        tables = Tables()
        one, two = Node(tables=tables), Node(tables=tables, name="two")
        one.phones.away.add(BOB)
        tables.bound = {BOB}
        tables.put("one", next_try=int(time.time()))
        await one.delivery.retry_due(time.time())
        await one.ended()
        assert "claim" not in one.repository.calls
        await two.delivery.retry_due(time.time())
        await two.ended()
        assert two.phones.bodies == ["one"]

    run(scenario())


def test_owner_who_goes_away_in_the_middle_keeps_the_rest(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.phones.on_arrival = lambda body: node.phones.away.add(BOB)
        node.tables.put("one", "two")
        await node.deliver()
        assert (node.phones.bodies, node.tables.bodies()) == (["one"], ["two"])
        assert node.tables.claims == {}
        assert node.counts == (1, 0)

    run(scenario())


def test_message_that_expires_while_it_waits_is_not_sent(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one")
        node.tables.put("two", expires=int(time.time()) + 1)
        node.tables.put("three")
        node.phones.takes = 2
        await node.deliver()
        assert node.phones.bodies == ["one", "three"]

    run(scenario())


def test_message_that_cannot_be_made_again_does_not_block_those_behind(run: Run) -> None:
    """A row of another program, for example, whose Content-Type was cut."""

    async def scenario() -> None:
        node = Node(Phones(one=[SipError(400, "Bad Content-Type Header")] * 10))
        node.tables.put("one", "two")
        await node.deliver()
        await node.deliver(Reason.NEW_BINDING)
        assert "two" in node.phones.bodies
        assert node.tables.bodies() == ["one"]

    run(scenario())


def test_stop_lets_the_message_in_flight_end(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one", "two")
        node.delivery.start(BOB, Reason.NEW_BINDING)
        await asyncio.sleep(0.5)
        await node.delivery.stop(10)
        assert asyncio.get_running_loop().time() == pytest.approx(1, abs=0.1)
        assert (node.phones.bodies, node.tables.bodies()) == (["one"], ["two"])
        assert (node.delivery.running, node.tables.claims) == (0, {})
        node.delivery.start(BOB, Reason.NEW_BINDING)
        assert not node.delivery.is_running(BOB)

    run(scenario())


def test_stop_waits_no_longer_than_it_is_told(run: Run) -> None:
    async def scenario() -> None:
        node = Node(parallel=1)
        node.phones.takes = 30
        node.tables.put("one")
        node.tables.put("hers", owner=ALICE)
        for owner in (BOB, ALICE):  # the second waits for its turn
            node.delivery.start(owner, Reason.NEW_BINDING)
        await asyncio.sleep(1)
        await node.delivery.stop(5)
        assert asyncio.get_running_loop().time() == pytest.approx(6, abs=0.1)
        assert (node.delivery.running, node.tables.claims) == (0, {})
        assert len(node.tables.messages) == 2

    run(scenario())


def test_stop_with_nothing_to_do(run: Run) -> None:
    async def scenario() -> None:
        await Node().delivery.stop(10)
        assert asyncio.get_running_loop().time() == 0

    run(scenario())


@pytest.mark.parametrize("limit", [1, 3, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 5, 1000])
def test_no_more_than_the_limit_is_sent(run: Run, limit: int) -> None:
    """Guide chapter 1.4.2, maxmsg: the oldest ones."""

    async def scenario() -> None:
        node = Node()
        node.phones.takes = 0.01
        bodies = [f"{number}" for number in range(2 * PAGE + 10)]
        node.tables.put(*bodies)
        node.delivery.start(BOB, Reason.NEW_BINDING, limit)
        await node.ended()
        assert node.phones.bodies == bodies[:limit]
        assert node.tables.bodies() == bodies[limit:]
        assert node.tables.claims == {}

    run(scenario())


@pytest.mark.parametrize(
    ("first", "then", "expected"),
    [(2, None, 10), (2, 3, 5), (None, 2, 10), (None, None, 10), (8, 5, 10)],
)
def test_limits_of_two_who_ask(run: Run, first: int | None, then: int | None, expected: int) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put(*map(str, range(10)))
        node.delivery.start(BOB, Reason.NEW_BINDING, first)
        await asyncio.sleep(0.5)
        node.delivery.start(BOB, Reason.REFRESH, then)
        await node.ended()
        assert len(node.phones.sent) == expected

    run(scenario())


def test_of_several_who_ask_meanwhile_the_most_is_sent(run: Run) -> None:
    async def scenario() -> None:
        for asked, expected in (([2, 4, 3], 5), ([2, None, 3], 10)):
            node = Node()
            node.tables.put(*map(str, range(10)))
            node.delivery.start(BOB, Reason.NEW_BINDING, 1)
            await asyncio.sleep(0.5)
            for limit in asked:
                node.delivery.start(BOB, Reason.REFRESH, limit)
            await node.ended()
            assert len(node.phones.sent) == expected

    run(scenario())


@pytest.mark.parametrize("operation", ["claim", "delete"])
def test_limit_holds_when_the_database_is_back(run: Run, operation: str) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one", "two", "three")
        node.repository.broken = {operation}
        node.delivery.start(BOB, Reason.NEW_BINDING, 2)
        await node.ended()
        node.repository.broken = set()
        await asyncio.sleep(DATABASE_PAUSE + 5)
        await node.ended()
        assert node.phones.bodies == ["one", "two"]

    run(scenario())


def test_limit_holds_when_another_node_is_done(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("one", "two")
        node.tables.claims[BOB] = ("other", time.time() + 3)
        node.delivery.start(BOB, Reason.NEW_BINDING, 1)
        await asyncio.sleep(10)
        await node.ended()
        assert node.phones.bodies == ["one"]

    run(scenario())
