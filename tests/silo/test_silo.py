"""The silo: storing, and the work that time does."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise

import pytest

from sipsilo.silo.delivery import LEASE
from sipsilo.silo.message import NOT_TRIED, Attempt, NotStorable, StoreOptions
from sipsilo.silo.outcome import failed_attempt
from sipsilo.silo.repository import RepositoryError
from sipsilo.silo.silo import PURGE_AT_ONCE, Silo, SiloSettings
from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import Aor
from tests.loop import START, run_in_virtual_time
from tests.silo.memory import MemoryRepository, Phones
from tests.silo.samples import ALICE, BOB, PLAIN, message

Run = Callable[[Coroutine[object, object, None]], None]

START_TIME = int(START)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return lambda scenario: run_in_virtual_time(scenario, monkeypatch)


class Home:
    """A silo with its database and its phones; nobody is there at first."""

    def __init__(self, phones: Phones | None = None, max_messages: int = 0, **settings: object) -> None:
        self.repository = MemoryRepository(max_messages=max_messages)
        self.tables = self.repository.tables
        self.phones = phones or Phones()
        self.phones.away = {ALICE, BOB}
        self.silo = Silo(self.repository, self.phones, SiloSettings(**settings), time.time)  # type: ignore[arg-type]

    async def __aenter__(self) -> "Home":
        await self.silo.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.silo.stop(1)

    async def store(self, body: str, attempt: Attempt = NOT_TRIED) -> int:
        return await self.silo.store(message(PLAIN, body=body.encode()), BOB, attempt)

    def register(self) -> None:
        """Bob is there with a new binding."""
        self.phones.away.discard(BOB)
        self.silo.deliver(BOB, new_binding=True)


def test_message_for_somebody_away_is_kept(run: Run) -> None:
    async def scenario() -> None:
        async with Home(expire_time=100) as home:
            mid = await home.store("one")
            kept = home.tables.messages[mid]
            assert (kept.body, kept.owner, kept.expires) == (b"one", BOB, int(time.time()) + 100)
            assert home.silo.statistics.stored_messages == 1
            await asyncio.sleep(50)
            assert home.phones.bodies == []

    run(scenario())


def test_message_is_delivered_at_registration(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            await home.store("one")
            await home.store("two")
            home.register()
            assert home.silo.is_delivering(BOB)
            await asyncio.sleep(3)
            assert home.phones.bodies == ["one", "two"]
            assert not home.silo.is_delivering(BOB)
            assert home.silo.statistics.dumped_messages == 2

    run(scenario())


def test_owner_who_registers_during_the_commit_gets_the_message(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            storing = asyncio.create_task(home.store("one"))
            await asyncio.sleep(0)
            home.register()
            await storing
            await asyncio.sleep(2)
            assert home.phones.bodies == ["one"]

    run(scenario())


def test_message_whose_relaying_failed_waits_for_its_time(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            home.phones.away.clear()
            await home.store("one", Attempt(1, int(time.time()) + 40, 486))
            kept = home.tables.of("one")
            assert (kept.attempts, kept.last_status) == (1, 486)
            await asyncio.sleep(39)
            assert home.phones.bodies == []
            await asyncio.sleep(60)
            assert home.phones.bodies == ["one"]

    run(scenario())


def test_retries_go_on_until_the_phone_is_back(run: Run) -> None:
    """30 s, doubling, each up to a quarter later, and noticed within two seconds."""

    async def scenario() -> None:
        async with Home(Phones(one=[408] * 6)) as home:
            await home.store("one")
            home.register()
            await asyncio.sleep(2600)
            moments = home.phones.moments
            waits = [later - earlier for earlier, later in pairwise(moments)]
            for wait, least in zip(waits, [30, 60, 120, 240, 480, 960], strict=True):
                assert least <= wait <= least * 1.25 + 4
            assert home.tables.messages == {}

    run(scenario())


def test_messages_whose_relaying_failed_come_in_order(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC.md chapter 4, In order (by id): also when the jitter makes a later one due first."""
    jitter = iter([0.9, 0.5, 0.1, *[0.5] * 10])
    monkeypatch.setattr("random.random", lambda: next(jitter))

    async def scenario() -> None:
        async with Home(check_time=1) as home:
            home.phones.away.clear()
            for body in ("one", "two", "three"):
                await home.store(body, failed_attempt(message().response(408), 0, time.time()))
                await asyncio.sleep(1)
            await asyncio.sleep(100)
            assert home.phones.bodies == ["one", "two", "three"]

    run(scenario())


@pytest.mark.parametrize(
    ("headers", "error"), [((PLAIN, "Expires: 0"), NotStorable), (("Content-Type: nonsense",), SipError)]
)
def test_what_cannot_be_kept_is_told(run: Run, headers: tuple[str, ...], error: type[Exception]) -> None:
    async def scenario() -> None:
        async with Home() as home:
            with pytest.raises(error):
                await home.silo.store(message(*headers), BOB)
            assert (home.tables.messages, home.silo.statistics.stored_messages) == ({}, 0)

    run(scenario())


def test_database_that_is_down_is_told(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            home.repository.broken = {"add"}
            with pytest.raises(RepositoryError):
                await home.store("one")
            assert home.silo.statistics.stored_messages == 0

    run(scenario())


def test_late_delivery_takes_the_message_away(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            mid = await home.store("one", Attempt(1, int(time.time()) + 40, 408))
            home.silo.delivered_late(mid)
            await asyncio.sleep(1)
            assert home.tables.messages == {}

    run(scenario())


def test_late_delivery_is_noted_when_the_database_is_back(run: Run) -> None:
    """Else the message would come twice."""

    async def scenario() -> None:
        async with Home() as home:
            home.phones.away.clear()
            mid = await home.store("one", Attempt(1, int(time.time()) + 40, 408))
            home.repository.broken = {"delete"}
            home.silo.delivered_late(mid)
            await asyncio.sleep(1)
            home.repository.broken = set()
            await asyncio.sleep(100)
            assert home.phones.bodies == []
            assert home.tables.messages == {}

    run(scenario())


def test_expired_messages_are_purged_every_clean_period(run: Run) -> None:
    async def scenario() -> None:
        async with Home(expire_time=100, check_time=30, clean_period=5) as home:
            await home.store("one")
            await asyncio.sleep(149)
            assert home.tables.bodies() == ["one"]
            await asyncio.sleep(2)
            assert home.tables.bodies() == []
            await home.store("two")
            await asyncio.sleep(150)
            assert home.tables.bodies() == []

    run(scenario())


def test_purge_deletes_all_that_has_expired(run: Run) -> None:
    async def scenario() -> None:
        home = Home()
        count = 2 * PURGE_AT_ONCE
        expired = [f"{number}" for number in range(count)]
        home.tables.put(*expired, expires=int(time.time()))
        home.tables.put("kept")
        await home.silo.purge()
        assert home.tables.bodies() == ["kept"]

    run(scenario())


def test_claims_are_renewed_while_a_delivery_lasts(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            home.phones.takes = 5 * LEASE
            await home.store("one")
            home.register()
            for _ in range(4 * int(LEASE)):
                await asyncio.sleep(1)
                _, until = home.tables.claims[BOB]
                assert until > time.time() + LEASE / 2

    run(scenario())


@pytest.mark.parametrize("operation", ["due", "next_due", "purge", "renew"])
def test_periodic_work_goes_on_when_the_database_is_back(run: Run, operation: str) -> None:
    async def scenario() -> None:
        async with Home(check_time=10, clean_period=1, expire_time=1000) as home:
            home.phones.away.clear()
            home.phones.takes = 3 * LEASE
            home.repository.broken = {operation}
            await home.store("one", Attempt(1, int(time.time()) + 40, 408))
            await asyncio.sleep(60)
            home.repository.broken = set()
            await asyncio.sleep(120)
            assert home.phones.bodies[:1] == ["one"]
            home.tables.put("old", expires=int(time.time()))
            await asyncio.sleep(11)
            assert home.tables.bodies() == []

    run(scenario())


def test_due_retry_is_noticed_before_the_next_check(run: Run) -> None:
    async def scenario() -> None:
        async with Home(check_time=30) as home:
            home.tables.put("one", next_try=int(time.time()) + 45, owner=BOB)
            home.phones.away.clear()
            await asyncio.sleep(48)
            assert home.phones.bodies == ["one"]
            assert 45 <= home.phones.moments[0] <= 47

    run(scenario())


def test_many_owners_are_due_at_once(run: Run) -> None:
    """After an outage: those beyond what is asked for at a time need not wait for the next check."""

    async def scenario() -> None:
        async with Home(check_time=30) as home:
            home.phones.away.clear()
            home.phones.takes = 0.01
            for number in range(2500):
                owner = Aor(f"user{number}", "example.org")
                home.tables.put(f"{number}", next_try=int(time.time()) + 20, owner=owner)
            await asyncio.sleep(30)
            assert len(home.phones.sent) == 2500

    run(scenario())


def test_idle_silo_asks_the_database_rarely(run: Run) -> None:
    """What has expired, or is for somebody away, is not asked for every second."""

    async def scenario() -> None:
        async with Home(check_time=30, clean_period=1000) as home:
            now = int(time.time())
            home.tables.put("expired", next_try=now + 1, expires=now + 1)
            home.tables.put("away", next_try=now + 1, owner=ALICE)
            await asyncio.sleep(60)
            home.repository.calls.clear()
            await asyncio.sleep(300)
            assert len(home.repository.calls) <= 3 * 300 / 30

    run(scenario())


def test_what_a_restart_interrupted_goes_on(run: Run) -> None:
    """Who is bound need not register anew; a back-off stays."""

    async def scenario() -> None:
        home = Home()
        home.phones.away.clear()
        home.tables.put("one", "two")
        home.tables.put("later", next_try=int(time.time()) + 100, owner=ALICE)
        home.tables.put("nobody is there", owner=Aor("carol", "example.org"))
        home.tables.bound = {ALICE, BOB}
        async with home:
            await asyncio.sleep(50)
            assert home.phones.bodies == ["one", "two"]
            await asyncio.sleep(60)
            assert home.phones.bodies == ["one", "two", "later"]

    run(scenario())


def test_start_tells_that_the_database_is_down(run: Run) -> None:
    async def scenario() -> None:
        home = Home()
        home.repository.broken = {"waiting"}
        with pytest.raises(RepositoryError):
            await home.silo.start()

    run(scenario())


def test_stop_ends_everything(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            await home.store("one")
            home.register()
            await asyncio.sleep(0.5)
        assert (home.phones.bodies, home.tables.messages, home.tables.claims) == (["one"], {}, {})
        asked = len(home.repository.calls)
        home.register()
        await asyncio.sleep(1000)
        assert len(home.repository.calls) == asked

    run(scenario())


@pytest.mark.parametrize("options", [StoreOptions(), StoreOptions(send_time=START_TIME + 100)])
def test_full_quota_is_told(run: Run, options: StoreOptions) -> None:
    """SPEC.md chapter 2: 480; what has expired does not count."""

    async def scenario() -> None:
        async with Home(max_messages=2, reminder="sip:r@example.org", send_time=60) as home:
            home.tables.put("expired", expires=int(time.time()))
            await home.store("one")
            await home.store("two")
            with pytest.raises(NotStorable) as caught:
                await home.silo.store(message(PLAIN), BOB, options=options)
            assert caught.value.status == 480
            assert home.silo.statistics.stored_messages == 2
            assert home.tables.bodies() == ["expired", "one", "two"]
            await home.silo.store(message(PLAIN), ALICE)

    run(scenario())


def test_what_a_script_says_of_a_message_is_kept(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            options = StoreOptions(
                source='"Carol" <sip:carol@example.org;x=y>;tag=1',
                destination="sip:team@example.org;x=y",
                extra_headers="X-One: 1\r\nX-Two: 2\r\n",
            )
            mid = await home.silo.store(message(PLAIN, "X-Own: yes"), BOB, NOT_TRIED, options)
            kept = home.tables.messages[mid]
            assert (kept.source_name, kept.source) == ('"Carol"', "sip:carol@example.org;x=y")
            assert (kept.destination_name, kept.destination) == ("", "sip:team@example.org;x=y")
            assert kept.headers == b"X-Own: yes\r\nX-One: 1\r\nX-Two: 2\r\n"

    run(scenario())


def test_no_more_than_a_limit_is_delivered(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            home.phones.away.clear()
            home.tables.put("one", "two", "three")
            home.silo.deliver(BOB, new_binding=True, limit=2)
            await asyncio.sleep(10)
            assert home.phones.bodies == ["one", "two"]

    run(scenario())


def test_what_is_stored_in_a_back_off_waits_for_its_end(run: Run) -> None:
    """Also after a restart, when nobody remembers the back-off."""

    async def scenario() -> None:
        async with Home(Phones(one=[408])) as home:
            await home.store("one")
            home.register()
            await asyncio.sleep(2)
            await home.store("two")
            assert home.tables.of("two").next_try == home.tables.of("one").next_try > time.time() + 20
            assert home.tables.of("two").attempts == 0

    run(scenario())


def test_statistics_are_published_when_they_change(run: Run) -> None:
    async def scenario() -> None:
        async with Home(Phones(two=[415])) as home:
            await asyncio.sleep(1.5)
            assert home.tables.statistics["one"] == dict.fromkeys(home.silo.statistics.snapshot(), 0)
            await home.store("one")
            await home.store("two")
            await asyncio.sleep(1.5)
            assert home.tables.statistics["one"]["stored_messages"] == 2
            published = home.repository.calls.count("publish")
            await asyncio.sleep(500)
            assert home.repository.calls.count("publish") == published
            home.register()
            await asyncio.sleep(5)
            assert home.tables.statistics["one"] == {
                "stored_messages": 2,
                "dumped_messages": 1,
                "failed_messages": 1,
                "dumped_reminders": 0,
                "failed_reminders": 0,
            }

    run(scenario())


def test_statistics_are_published_at_the_end(run: Run) -> None:
    async def scenario() -> None:
        async with Home() as home:
            await asyncio.sleep(1.1)
            await home.store("one")
            home.repository.broken = {"publish"}
            await asyncio.sleep(10)
            assert home.tables.statistics["one"]["stored_messages"] == 0
            home.repository.broken = set()
        assert home.tables.statistics["one"]["stored_messages"] == 1

    run(scenario())
