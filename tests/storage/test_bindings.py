"""Bindings survive a restart as they are."""

import asyncio
from typing import Any

import pytest

from sipsilo.registrar.binding import Binding, Received
from sipsilo.sip.uri import Aor
from tests.loop import run
from tests.storage.conftest import Database
from tests.storage.gate import held
from tests.storage.samples import ALICE, BOB, NOW, binding

PHONE = binding("sip:bob@192.0.2.1:5060")
DESK = binding("sip:bob@192.0.2.2:5060;transport=tcp", registered_at=NOW - 1)


async def load(database: Database, now: float = NOW) -> list[tuple[Aor, Binding]]:
    """What a restarted node finds."""
    async with database.node() as node:
        return list(await node.bindings.load(now))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"q": 0.0},
        {"q": 0.125},
        {"expires_at": NOW + 0.25},
        {"registered_at": NOW + 0.123456},
        {"cseq": 2**31 - 1},
        {"call_id": "ünïcode@[2001:db8::1]"},
        {"path": ("<sip:edge.example.org;lr>", '"Edge, 1" <sip:127.0.0.2;lr;ob>')},
        {"methods": "MESSAGE,INVITE"},
        {"methods": ""},
        {"received": Received("TCP", ("2001:db8::1", 5060), ("2001:db8::2", 65535), True)},
        {"contact": "sip:bób@192.0.2.1;x=\"'?"},
    ],
    ids=lambda changes: next(iter(changes), "plain"),
)
def test_binding_comes_back_as_it_was(database: Database, changes: dict[str, Any]) -> None:
    saved = binding(**changes)

    async def scenario() -> None:
        async with database.node() as node:
            await node.bindings.replace(BOB, (saved,))
        assert await load(database) == [(BOB, saved)]

    run(scenario())


def test_replace_makes_these_the_bindings_of_the_aor_alone(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            await node.bindings.replace(ALICE, (PHONE,))
            await node.bindings.replace(BOB, (PHONE, DESK))
            await node.bindings.replace(BOB, (DESK,))
            await node.bindings.replace(Aor("carol", "example.org"), (DESK,))
            await node.bindings.replace(Aor("carol", "example.org"), ())
        found = await load(database)
        assert sorted(found) == [(ALICE, PHONE), (BOB, DESK)]

    run(scenario())


@pytest.mark.parametrize("last", [(PHONE,), (DESK,), (PHONE, DESK), ()])
def test_last_of_two_replacements_counts(database: Database, last: tuple[Binding, ...]) -> None:
    """Even when both wait for one commit."""

    async def scenario() -> None:
        async with database.node() as node:
            async with held(node.engine):
                replacing = [node.bindings.replace(BOB, bindings) for bindings in [(PHONE,), last]]
            await asyncio.gather(*replacing)
        found = [each for aor, each in await load(database) if aor == BOB]
        assert sorted(found) == sorted(last)

    run(scenario())


def test_newest_comes_first(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            await node.bindings.replace(BOB, (DESK, PHONE))
        assert [each for _, each in await load(database)] == [PHONE, DESK]

    run(scenario())


def test_contacts_of_one_register_keep_their_order(database: Database) -> None:
    """Delivery goes to the first; it must not change with a restart."""
    contacts = [binding(f"sip:bob@192.0.2.{n}", expires_at=NOW + 100 + 7 * n % 5) for n in range(5)]

    async def scenario() -> None:
        async with database.node() as node:
            await node.bindings.replace(BOB, tuple(contacts))
        assert [each for _, each in await load(database)] == contacts

    run(scenario())


def test_expired_bindings_are_not_loaded_and_purged(database: Database) -> None:
    gone = DESK._replace(expires_at=NOW)

    async def scenario() -> None:
        async with database.node() as node:
            await node.bindings.replace(BOB, (PHONE, gone))
            assert list(await node.bindings.load(NOW)) == [(BOB, PHONE)]
            assert len(list(await node.bindings.load(NOW - 1))) == 2
            await node.bindings.purge(NOW)
            assert list(await node.bindings.load(NOW - 1)) == [(BOB, PHONE)]

    run(scenario())


def test_answer_comes_after_the_commit(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            await node.bindings.replace(BOB, (PHONE,))
            assert database.execute("SELECT contact FROM sipsilo_location") == [(PHONE.contact,)]

    run(scenario())
