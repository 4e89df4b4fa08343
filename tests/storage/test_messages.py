"""Messages are kept as they are, found by owner, number and time, and deleted."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipsilo.silo.message import AT_REGISTRATION, NEVER, Attempt, StoredMessage
from sipsilo.silo.repository import Unfit
from sipsilo.sip.uri import Aor
from tests.loop import run
from tests.storage.conftest import Database, Node, ServerDatabase
from tests.storage.gate import held
from tests.storage.samples import ALICE, BOB, NOW, binding, message, page

EARLIER, LATER = int(NOW) - 10, int(NOW) + 10


async def add(node: Node, *messages: StoredMessage) -> list[int]:
    """Store all at once; their numbers."""
    return list(await asyncio.gather(*(node.messages.add(each) for each in messages)))


async def read(node: Node, owner: Aor = BOB, **wanted: Any) -> list[StoredMessage]:
    """What a delivery to the owner would get."""
    found = await node.messages.claim(page(owner, **wanted))
    assert isinstance(found, list)
    return found


async def numbers(node: Node, owner: Aor = BOB, **wanted: Any) -> list[int]:
    return [each.mid for each in await read(node, owner, **wanted)]


# A surrogate is no text that a database could hold; `from_request` refuses it, as it does what is too long.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
TIME = st.integers(0, 2**40)
MESSAGES = st.builds(
    StoredMessage,
    mid=st.just(0),
    owner=st.just(BOB),
    source=TEXT,
    source_name=TEXT,
    destination=TEXT,
    destination_name=TEXT,
    content_type=TEXT,
    body=st.binary(max_size=200),
    headers=st.binary(max_size=200),
    call_id=TEXT,
    received=TIME,
    originated=TIME,
    expires=TIME.map(lambda seconds: int(NOW) + 1 + seconds),
    attempts=st.integers(0, 1000),
    next_try=TIME,
    last_status=st.none() | st.integers(200, 699),
    send_time=st.integers(0, int(NOW)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MESSAGES, max_size=150))
def test_messages_come_back_as_they_went_in(database: Database, messages: list[StoredMessage]) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            mids = await add(node, *messages)
            assert mids == sorted(set(mids))
            found = await read(node, limit=1000, ignore_backoff=True)
            assert found == [each._replace(mid=mid) for each, mid in zip(messages, mids, strict=True)]

    database_is_empty(database)
    run(scenario())


def database_is_empty(database: Database) -> None:
    """Hypothesis gives all its examples the same database."""

    async def scenario() -> None:
        async with database.node() as node:
            await node.messages.purge(float(2**60), 1000)

    run(scenario())


def test_large_values_come_back(database: Database) -> None:
    large = message(body=bytes(range(256)) * 512, headers=b"X-Long: " + b"x" * 32_000)

    async def scenario() -> None:
        async with database.node() as node:
            (mid,) = await add(node, large)
        async with database.node() as node:
            assert await read(node) == [large._replace(mid=mid)]

    run(scenario())


def test_numbers_follow_the_order_of_storing(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            mids = await add(node, *(message(body=b"%d" % number) for number in range(200)))
            assert mids == sorted(set(mids))
            assert [int(each.body) for each in await read(node, limit=200)] == list(range(200))

    run(scenario())


def test_number_of_a_deleted_message_is_not_given_again(database: Database) -> None:
    """Delivery goes on behind a number, and a late answer deletes by number."""

    async def scenario() -> None:
        async with database.node() as node:
            first, last = await add(node, message(), message())
            await node.messages.delete(last)
            await node.messages.delete(first)
        async with database.node() as node:
            (new,) = await add(node, message())
            assert new > last

    run(scenario())


@pytest.mark.parametrize(
    ("stored", "wanted", "found"),
    [
        pytest.param({}, {}, True, id="plain"),
        pytest.param({"owner": Aor("bob", "example.com")}, {}, False, id="other host"),
        pytest.param({"owner": Aor("bo", "bexample.org")}, {}, False, id="other user"),
        pytest.param({"owner": Aor("Bob", "example.org")}, {}, False, id="user of other case"),
        pytest.param({"expires": LATER}, {}, True, id="unexpired"),
        pytest.param({"expires": int(NOW)}, {}, False, id="expires now"),
        pytest.param({"expires": EARLIER}, {}, False, id="expired"),
        pytest.param({"expires": EARLIER}, {"ignore_backoff": True}, False, id="expired at a new binding"),
        pytest.param({"next_try": EARLIER}, {}, True, id="due again"),
        pytest.param({"next_try": int(NOW)}, {}, True, id="due now"),
        pytest.param({"next_try": LATER}, {}, False, id="in a back-off"),
        pytest.param({"next_try": LATER}, {"ignore_backoff": True}, True, id="new binding"),
        pytest.param({"next_try": NEVER}, {}, False, id="refused for good"),
        pytest.param({"next_try": NEVER}, {"ignore_backoff": True}, False, id="refused for good, new binding"),
    ],
)
def test_what_a_delivery_gets(database: Database, stored: dict[str, Any], wanted: dict[str, Any], found: bool) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            await add(node, message(**stored))
            assert bool(await read(node, **wanted)) is found

    run(scenario())


def test_pages_go_on_behind_a_number(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            mids = await add(node, *(message(owner) for owner in [BOB, ALICE] * 5))
            mine = mids[::2]
            assert await numbers(node, limit=2) == mine[:2]
            assert await numbers(node, after=mine[1], limit=2) == mine[2:4]
            assert await numbers(node, after=mine[3], limit=2) == mine[4:]
            assert await numbers(node, after=mine[4], limit=2) == []

    run(scenario())


def test_rows_of_other_programs_are_read(database: Database) -> None:
    """OpenSIPS and Kamailio fill their own columns only (SPEC.md chapter 5)."""

    async def scenario() -> None:
        async with database.node() as node:
            database.execute(
                "INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, ctype, body) "
                "VALUES ('sip:alice@example.org', 'sip:bob@example.org', 'bob', 'example.org', ?, ?, 'text/plain', ?)",
                EARLIER,
                LATER,
                b"Hi",
            )
            (found,) = await read(node)
            assert found == message(
                mid=found.mid, source_name="", headers=b"", call_id="", received=EARLIER, originated=0, expires=LATER
            )

    run(scenario())


def test_reminders_are_not_delivered_with_the_messages(database: Database) -> None:
    """SPEC.md chapter 2: m_dump sends non-reminder messages."""

    async def scenario() -> None:
        async with database.node() as node:
            mid, reminder = await add(node, message(), message())
            database.execute("UPDATE silo SET snd_time=? WHERE mid=?", LATER, reminder)
            assert await numbers(node) == [mid]
            await node.messages.postpone(BOB, mid, Attempt(1, LATER, 408))
            assert database.execute("SELECT next_try FROM silo WHERE mid=?", reminder) == [(0,)]

    run(scenario())


def test_deleted_messages_are_gone(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            mids = await add(node, *(message() for _ in range(150)))
            await asyncio.gather(*(node.messages.delete(mid) for mid in mids[1:149]))
            await node.messages.delete(mids[5])  # a second time is no error
            assert await numbers(node) == [mids[0], mids[149]]

    run(scenario())


def test_attempt_is_recorded_for_its_message_alone(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            one, other = await add(node, message(), message())
            await node.messages.record(one, Attempt(3, LATER, 415))
            assert await numbers(node) == [other]
            refused, untouched = await read(node, ignore_backoff=True)
            assert (refused.attempts, refused.next_try, refused.last_status) == (3, LATER, 415)
            assert untouched == message(mid=other)

    run(scenario())


def test_postponement_holds_for_all_of_an_owner(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            silent, behind, much_later, refused, others = await add(
                node,
                message(),
                message(),
                message(next_try=LATER + 100),
                message(next_try=NEVER),
                message(ALICE),
            )
            await node.messages.postpone(BOB, silent, Attempt(1, LATER, 408))
            rows = database.execute("SELECT mid, attempts, next_try, last_status FROM silo ORDER BY mid")
            assert rows == [
                (silent, 1, LATER, 408),
                (behind, 0, LATER, None),
                (much_later, 0, LATER + 100, None),
                (refused, 0, NEVER, None),
                (others, 0, 0, None),
            ]
            assert await numbers(node) == []
            assert await numbers(node, now=LATER) == [silent, behind]

    run(scenario())


def test_nothing_is_retried_for_an_owner_who_is_away(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            waiting, refused = await add(node, message(next_try=LATER), message(next_try=NEVER))
            (other,) = await add(node, message(ALICE, next_try=LATER + 1))
            await node.messages.forget_retries(BOB, NOW)
            assert await node.messages.due(LATER + 2, 10) == [ALICE]
            assert await node.messages.next_due(NOW) == LATER + 1
            assert await numbers(node) == [waiting]
            rows = database.execute("SELECT next_try FROM silo WHERE mid IN (?,?) ORDER BY mid", refused, other)
            assert rows == [(NEVER,), (LATER + 1,)]

    run(scenario())


def test_retries_of_an_owner_who_is_bound_stay(database: Database) -> None:
    """At another node then, which makes them."""

    async def scenario() -> None:
        async with database.node() as node:
            await add(node, message(next_try=LATER))
            query = "SELECT next_try FROM silo"
            await node.bindings.replace(BOB, (binding(), binding("sip:bob@192.0.2.2", methods="INVITE")))
            await node.messages.forget_retries(BOB, NOW)
            assert database.execute(query) == [(LATER,)]
            await node.bindings.replace(BOB, (binding(expires_at=NOW), binding("sip:bob@192.0.2.2", methods="INVITE")))
            await node.messages.forget_retries(BOB, NOW)
            assert database.execute(query) == [(AT_REGISTRATION,)]

    run(scenario())


def test_owners_who_are_bound_and_have_messages(database: Database) -> None:
    carol = Aor("carol", "example.org")

    async def scenario() -> None:
        async with database.node() as node:
            assert await node.messages.waiting(NOW) == []
            await add(node, message(), message(), message(ALICE), message(Aor("bob", "example.com")))
            assert await node.messages.waiting(NOW) == []
            await node.bindings.replace(BOB, (binding(), binding("sip:bob@192.0.2.2")))
            await node.bindings.replace(ALICE, (binding(expires_at=NOW),))
            await node.bindings.replace(carol, (binding(),))
            assert await node.messages.waiting(NOW) == [BOB]

    run(scenario())


def test_owners_are_due_when_a_retry_is(database: Database) -> None:
    carol = Aor("carol", "example.org")

    async def scenario() -> None:
        async with database.node() as node:
            assert await node.messages.next_due(NOW) is None
            await add(node, message(), message(next_try=NEVER))
            assert await node.messages.next_due(NOW) is None
            assert await node.messages.due(NOW, 10) == []
            await add(node, message(ALICE, next_try=LATER), message(ALICE, next_try=LATER))
            await add(node, message(carol, next_try=LATER + 5))
            assert await node.messages.next_due(NOW) == LATER
            assert await node.messages.due(LATER - 1, 10) == []
            assert await node.messages.due(LATER, 10) == [ALICE]
            assert set(await node.messages.due(LATER + 5, 10)) == {ALICE, carol}
            assert len(await node.messages.due(LATER + 5, 1)) == 1

    run(scenario())


def test_purge_deletes_what_has_expired_up_to_a_limit(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            expiries = [EARLIER, int(NOW), LATER, EARLIER, EARLIER]
            mids = await add(node, *(message(expires=expires) for expires in expiries))
            assert await node.messages.purge(NOW, 3) == 3
            assert await node.messages.purge(NOW, 3) == 1
            assert await node.messages.purge(NOW, 3) == 0
            assert database.execute("SELECT mid FROM silo") == [(mids[2],)]

    run(scenario())


def test_what_is_asked_together_sees_what_was_written_together(database: Database) -> None:
    """A store and a delivery may meet in one transaction: the delivery sees the message."""

    async def scenario() -> None:
        async with database.node() as node:
            (old,) = await add(node, message())
            async with held(node.engine):
                waiting = [
                    asyncio.ensure_future(each)
                    for each in (
                        node.messages.claim(page()),
                        node.messages.add(message()),
                        node.messages.delete(old),
                        node.messages.add(message(expires=EARLIER)),
                    )
                ]
            found, new, _, _ = await asyncio.gather(*waiting)
            assert isinstance(found, list)
            assert [each.mid for each in found] == [new]

    run(scenario())


@pytest.mark.parametrize("place", [0, 4, 8])
@pytest.mark.parametrize(
    "changes",
    [{"source": "sip:\udcff@example.org"}, {"expires": 2**70}],
    ids=["not UTF-8", "number beyond 64 bits"],
)
def test_bad_item_spoils_only_itself(database: Database, changes: dict[str, Any], place: int) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            bodies = [b"%d" % number for number in range(9)]
            messages = [message(body=body) for body in bodies]
            messages[place] = message(**changes)
            async with held(node.engine):
                adding = [asyncio.ensure_future(node.messages.add(each)) for each in messages]
            outcomes = await asyncio.gather(*adding, return_exceptions=True)
            assert isinstance(outcomes.pop(place), Unfit)
            assert outcomes == await numbers(node)
            assert [each.body for each in await read(node)] == bodies[:place] + bodies[place + 1 :]

    run(scenario())


@pytest.mark.parametrize(
    "changes", [{"source": "sip:" + 252 * "a"}, {"attempts": 2**31}], ids=["too long", "too large"]
)
def test_what_does_not_fit_a_column_is_refused_and_never_cut(
    server_database: ServerDatabase, changes: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with server_database.node() as node:
            with pytest.raises(Unfit):
                await node.messages.add(message(**changes))
            await node.messages.add(message(source="sip:" + 251 * "a", attempts=2**31 - 1))

    run(scenario())
