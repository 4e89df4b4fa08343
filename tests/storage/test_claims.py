"""One owner's messages are delivered by one node at a time (SPEC.md chapter 4, DESIGN.md rule 7)."""

import asyncio

from sipsilo.silo.repository import Busy
from sipsilo.sip.uri import Aor
from tests.loop import run
from tests.storage.conftest import Database
from tests.storage.samples import ALICE, BOB, NOW, message, page


def test_other_node_is_told_until_when_the_owner_is_taken(database: Database) -> None:
    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            mid = await one.messages.add(message())
            await one.messages.add(message(ALICE))
            assert await one.messages.claim(page()) == [message(mid=mid)]
            assert await two.messages.claim(page()) == Busy(NOW + 10)
            assert len(await two.messages.claim(page(ALICE))) == 1

    run(scenario())


def test_owner_can_be_taken_when_the_claim_is_given_up(database: Database) -> None:
    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            await one.messages.add(message())
            await one.messages.claim(page())
            await two.messages.release(BOB)  # not its own to give up
            assert isinstance(await two.messages.claim(page()), Busy)
            await one.messages.release(BOB)
            assert len(await two.messages.claim(page())) == 1
            assert await one.messages.claim(page()) == Busy(NOW + 10)

    run(scenario())


def test_own_claim_is_no_obstacle_and_is_prolonged(database: Database) -> None:
    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            await one.messages.add(message())
            await one.messages.claim(page())
            assert len(await one.messages.claim(page(now=NOW + 5))) == 1
            assert await two.messages.claim(page(now=NOW + 5)) == Busy(NOW + 15)

    run(scenario())


def test_claim_that_has_run_out_can_be_taken_over(database: Database) -> None:
    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            await one.messages.add(message())
            await one.messages.claim(page())
            assert await two.messages.claim(page(now=NOW + 9)) == Busy(NOW + 10)
            assert len(await two.messages.claim(page(now=NOW + 11))) == 1
            assert await one.messages.claim(page(now=NOW + 12)) == Busy(NOW + 21)
            await one.messages.release(BOB)
            assert isinstance(await one.messages.claim(page(now=NOW + 12)), Busy)

    run(scenario())


def test_claims_of_a_node_are_renewed_together(database: Database) -> None:
    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            for owner in (ALICE, BOB):
                await one.messages.add(message(owner))
            await one.messages.claim(page(ALICE))
            await two.messages.claim(page(BOB))
            await one.messages.renew(NOW + 100)
            assert await two.messages.claim(page(ALICE, now=NOW + 50)) == Busy(NOW + 100)
            assert len(await one.messages.claim(page(BOB, now=NOW + 50))) == 1

    run(scenario())


def test_owner_without_messages_is_not_claimed(database: Database) -> None:
    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            assert await one.messages.claim(page()) == []
            await one.messages.add(message())
            assert len(await two.messages.claim(page())) == 1

    run(scenario())


def test_start_of_a_node_drops_its_own_claims_only(database: Database) -> None:
    """A restart never waits for a lease."""

    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            for owner in (ALICE, BOB):
                await one.messages.add(message(owner))
            await one.messages.claim(page(ALICE))
            await two.messages.claim(page(BOB))
        async with database.node("one") as one:
            assert await one.messages.claim(page(BOB)) == Busy(NOW + 10)
        async with database.node("three") as three:
            assert len(await three.messages.claim(page(ALICE))) == 1

    run(scenario())


def test_each_owner_goes_to_one_of_two_nodes(database: Database) -> None:
    owners = [Aor(f"user{number}", "example.org") for number in range(50)]

    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            await asyncio.gather(*(one.messages.add(message(owner)) for owner in owners))
            ones, twos = await asyncio.gather(
                asyncio.gather(*(one.messages.claim(page(owner)) for owner in owners)),
                asyncio.gather(*(two.messages.claim(page(owner)) for owner in reversed(owners))),
            )
            for mine, others in zip(ones, reversed(twos), strict=True):
                assert isinstance(mine, Busy) is not isinstance(others, Busy)

    run(scenario())
