"""Who is where: changes one after the other, and in the database before they count."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from sipsilo.registrar.binding import Binding, Change
from sipsilo.registrar.location import Location
from sipsilo.sip.uri import Aor
from tests.loop import START, run_in_virtual_time
from tests.registrar.samples import BOB, binding

CAROL = Aor("carol", "example.org")
PHONE = binding("sip:bob@192.0.2.1")._replace(expires_at=START + 100)
DESK = binding("sip:bob@192.0.2.2")._replace(expires_at=START + 200)

Run = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda scenario: run_in_virtual_time(scenario, monkeypatch)


class Broken(Exception):
    """What a repository may raise."""


class Table:
    """A repository whose writes take a second; `broken` ones raise at their end."""

    def __init__(self, *rows: tuple[Aor, Binding]) -> None:
        self.rows = list(rows)
        self.writes: list[tuple[Aor, tuple[Binding, ...]]] = []
        self.broken = False

    async def load(self, now: float) -> list[tuple[Aor, Binding]]:
        return [(aor, each) for aor, each in self.rows if each.expires_at > now]

    async def replace(self, aor: Aor, bindings: tuple[Binding, ...]) -> None:
        self.writes.append((aor, bindings))
        await self._commit()
        self.rows = [row for row in self.rows if row[0] != aor] + [(aor, each) for each in bindings]

    async def purge(self, now: float) -> None:
        await self._commit()
        self.rows = [row for row in self.rows if row[1].expires_at > now]

    async def _commit(self) -> None:
        await asyncio.sleep(1)
        if self.broken:
            raise Broken


def adding(new: Binding) -> Callable[[tuple[Binding, ...]], Change]:
    """The rule of a REGISTER with one more contact."""
    return lambda current: Change((new, *current), True)


def removing(_: tuple[Binding, ...]) -> Change:
    return Change((), False)


def test_change_counts_when_it_is_committed(run: Run) -> None:
    async def scenario() -> None:
        location = Location(Table())
        change = asyncio.create_task(location.change(BOB, adding(PHONE)))
        await asyncio.sleep(0.9)
        assert location.lookup(BOB) == ()
        assert await change == Change((PHONE,), True)
        assert location.lookup(BOB) == (PHONE,)
        assert location.lookup(CAROL) == ()

    run(scenario())


def test_removal_counts_when_it_is_committed(run: Run) -> None:
    async def scenario() -> None:
        table = Table((BOB, PHONE))
        location = Location(table)
        await location.load()
        change = asyncio.create_task(location.change(BOB, removing))
        await asyncio.sleep(0.9)
        assert location.lookup(BOB) == (PHONE,)
        await change
        assert location.lookup(BOB) == ()
        assert table.rows == []

    run(scenario())


def test_changes_of_one_aor_come_one_after_the_other(run: Run) -> None:
    async def scenario() -> None:
        table = Table()
        location = Location(table)
        await asyncio.gather(*(location.change(BOB, adding(each)) for each in (PHONE, DESK)))
        assert table.writes == [(BOB, (PHONE,)), (BOB, (DESK, PHONE))]
        assert asyncio.get_running_loop().time() == pytest.approx(2)

    run(scenario())


def test_changes_of_two_aors_come_together(run: Run) -> None:
    async def scenario() -> None:
        location = Location(Table())
        await asyncio.gather(*(location.change(aor, adding(PHONE)) for aor in (BOB, CAROL)))
        assert asyncio.get_running_loop().time() == pytest.approx(1)

    run(scenario())


def test_failure_of_the_repository_changes_nothing(run: Run) -> None:
    async def scenario() -> None:
        table = Table((BOB, PHONE))
        location = Location(table)
        await location.load()
        table.broken = True
        for rule in (adding(DESK), removing):
            with pytest.raises(Broken):
                await location.change(BOB, rule)
            assert location.lookup(BOB) == (PHONE,)
        # and the next one is not kept waiting
        table.broken = False
        await location.change(BOB, adding(DESK))
        assert location.lookup(BOB) == (DESK, PHONE)

    run(scenario())


def test_failure_does_not_spoil_the_change_that_waits_behind_it(run: Run) -> None:
    async def scenario() -> None:
        table = Table()
        location = Location(table)
        table.broken = True
        first = asyncio.create_task(location.change(BOB, adding(PHONE)))
        second = asyncio.create_task(location.change(BOB, adding(DESK)))
        await asyncio.wait([first])
        table.broken = False
        assert isinstance(first.exception(), Broken)
        assert await second == Change((DESK,), True)

    run(scenario())


def test_failure_of_the_rule_changes_nothing(run: Run) -> None:
    def refuse(_: tuple[Binding, ...]) -> Change:
        raise Broken

    async def scenario() -> None:
        table = Table((BOB, PHONE))
        location = Location(table)
        await location.load()
        with pytest.raises(Broken):
            await location.change(BOB, refuse)
        assert (location.lookup(BOB), table.writes) == ((PHONE,), [])

    run(scenario())


def test_query_writes_nothing(run: Run) -> None:
    async def scenario() -> None:
        table = Table((BOB, PHONE))
        location = Location(table)
        await location.load()
        change = await location.change(BOB, lambda current: Change(current, False))
        assert (change.bindings, table.writes) == ((PHONE,), [])
        assert await location.change(CAROL, lambda current: Change(current, False)) == Change((), False)
        assert table.writes == []

    run(scenario())


def test_expired_bindings_count_no_more(run: Run) -> None:
    async def scenario() -> None:
        table = Table((BOB, DESK), (BOB, PHONE))
        location = Location(table)
        await location.load()
        await asyncio.sleep(99.5)
        assert location.lookup(BOB) == (DESK, PHONE)
        await asyncio.sleep(0.5)
        assert location.lookup(BOB) == (DESK,)
        # the rule does not see it either
        carried = await location.change(BOB, lambda current: Change(current, False))
        assert carried.bindings == (DESK,)
        await asyncio.sleep(100)
        assert location.lookup(BOB) == ()

    run(scenario())


def test_load_reads_what_is_there_in_order(run: Run) -> None:
    async def scenario() -> None:
        expired = PHONE._replace(expires_at=START)
        location = Location(Table((BOB, DESK), (CAROL, PHONE), (BOB, PHONE), (CAROL, expired)))
        assert await location.load() == 3
        assert location.lookup(BOB) == (DESK, PHONE)
        assert location.lookup(CAROL) == (PHONE,)

    run(scenario())


def test_purge_forgets_what_has_expired_here_and_there(run: Run) -> None:
    async def scenario() -> None:
        table = Table((BOB, DESK), (BOB, PHONE), (CAROL, PHONE))
        location = Location(table)
        await location.load()
        await asyncio.sleep(150)
        await location.purge()
        assert table.rows == [(BOB, DESK)]
        assert (location.lookup(BOB), location.lookup(CAROL)) == ((DESK,), ())

    run(scenario())


def test_purge_meets_a_refresh(run: Run) -> None:
    async def scenario() -> None:
        table = Table((BOB, PHONE))
        location = Location(table)
        await location.load()
        await asyncio.sleep(99.5)
        fresh = PHONE._replace(expires_at=START + 1000)
        refresh = asyncio.create_task(location.change(BOB, lambda _: Change((fresh,), False)))
        await asyncio.sleep(0.7)  # the old one has expired, the new one is not committed
        await location.purge()
        await refresh
        assert location.lookup(BOB) == (fresh,)
        assert table.rows == [(BOB, fresh)]

    run(scenario())


def test_listener_is_told_what_was_and_what_is(run: Run) -> None:
    told: list[tuple[Aor, tuple[Binding, ...], tuple[Binding, ...]]] = []

    async def scenario() -> None:
        location = Location(Table((BOB, PHONE)))
        await location.load()
        location.listener = lambda aor, old, new: told.append((aor, old, new))
        await location.change(BOB, adding(DESK))
        await location.change(BOB, lambda current: Change(current, False))
        await asyncio.sleep(150)
        await location.purge()
        await location.change(BOB, lambda current: Change((), False))
        await location.change(CAROL, lambda current: Change((), False))

    run(scenario())
    assert told == [
        (BOB, (PHONE,), (DESK, PHONE)),
        (BOB, (DESK, PHONE), (DESK,)),
        (BOB, (DESK,), ()),
    ]


def test_listener_is_not_told_what_was_not_committed(run: Run) -> None:
    async def scenario() -> None:
        table = Table()
        table.broken = True
        location = Location(table)
        location.listener = lambda aor, old, new: pytest.fail("told")
        with pytest.raises(Broken):
            await location.change(BOB, adding(DESK))

    run(scenario())
