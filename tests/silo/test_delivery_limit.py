"""A delivery of so many messages and no more (guide chapter 1.4.2, maxmsg)."""

from collections.abc import Callable, Coroutine

import pytest

from sipsilo.silo.delivery import PAGE, Reason
from tests.loop import run_in_virtual_time
from tests.silo.memory import Phones
from tests.silo.samples import BOB
from tests.silo.test_delivery import Node

Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda scenario: run_in_virtual_time(scenario, monkeypatch)


@pytest.mark.parametrize("limit", [1, 2, PAGE, PAGE + 1, 2 * PAGE + 1, 1000])
def test_limit(run: Run, limit: int) -> None:
    async def scenario() -> None:
        node = Node()
        bodies = [f"{number}" for number in range(2 * PAGE + 10)]
        node.tables.put(*bodies)
        node.delivery.start(BOB, Reason.NEW_BINDING, limit)
        await node.ended()
        assert node.phones.bodies == bodies[:limit]
        assert [each.body.decode() for each in node.tables.messages.values()] == bodies[len(node.phones.bodies) :]
        assert node.tables.claims == {}

    run(scenario())


@pytest.mark.parametrize(("second", "sent"), [(1, 3), (3, 5), (None, 9)])
def test_more_is_asked_for_meanwhile(run: Run, second: int | None, sent: int) -> None:
    """What is asked for during a delivery is sent by it, the greater number counting from then."""

    async def scenario() -> None:
        phones = Phones()
        node = Node(phones)
        node.tables.put(*"123456789")

        def ask_once(body: str) -> None:
            if body == "2":
                node.delivery.start(BOB, Reason.REFRESH, second)

        phones.on_arrival = ask_once
        node.delivery.start(BOB, Reason.NEW_BINDING, 2)
        await node.ended()
        assert phones.bodies == list("123456789"[:sent])

    run(scenario())


def test_expired_messages_do_not_count(run: Run) -> None:
    async def scenario() -> None:
        node = Node()
        node.tables.put("1", "2", "3")
        node.tables.messages[1] = node.tables.messages[1]._replace(expires=1)
        node.delivery.start(BOB, Reason.NEW_BINDING, 1)
        await node.ended()
        assert node.phones.bodies == ["2"]

    run(scenario())
