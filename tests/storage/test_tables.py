"""The tables (SPEC.md chapter 5)."""

import sqlite3
from typing import Any

import pytest

from sipsilo.silo.message import Attempt
from tests.loop import run
from tests.storage.conftest import Database, Node, SqliteDatabase
from tests.storage.samples import BOB, NOW, binding, message, page


def test_silo_has_the_columns_of_opensips_and_kamailio(database: Database) -> None:
    """OpenSIPS' version 6 under the names of SPEC.md chapter 1, and what Kamailio's version 8 adds."""
    opensips = "mid src_addr dst_addr username domain inc_time exp_time snd_time ctype body"
    kamailio = "extra_hdrs callid status"

    async def scenario() -> None:
        async with database.node():
            database.execute(f"SELECT {', '.join((opensips + ' ' + kamailio).split())} FROM silo")
            # what they insert is taken as it is
            database.execute(
                "INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body) "
                "VALUES ('', '', 'bob', 'example.org', 1, 2, 0, 'text/plain', '')"
            )

    run(scenario())


def test_second_start_leaves_the_tables_as_they_are(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            await node.messages.add(message())
        async with database.node() as node:
            assert len(list(await node.messages.due(NOW, 1))) == 0
            assert database.execute("SELECT count(*) FROM silo") == [(1,)]

    run(scenario())


async def work(node: Node) -> None:
    """Every statement but the one of the start."""
    mid = await node.messages.add(message())
    await node.messages.claim(page())
    await node.messages.record(mid, Attempt(1, 1, 415))
    await node.messages.postpone(BOB, mid, Attempt(1, 1, 408))
    await node.messages.due(NOW, 10)
    await node.messages.next_due(NOW)
    await node.messages.forget_retries(BOB, NOW)
    await node.messages.renew(NOW)
    await node.messages.release(BOB)
    await node.messages.delete(mid)
    await node.messages.purge(NOW, 10)
    await node.bindings.replace(BOB, (binding(),))
    await node.bindings.purge(NOW)
    await node.messages.adopt_reminders()
    await node.messages.publish({"stored_messages": 1})


def test_no_statement_reads_all_that_is_stored(
    sqlite_database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due costs, not what is stored."""
    statements: list[str] = []

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3_connect(*args, **options)
        connection.set_trace_callback(statements.append)
        return connection

    sqlite3_connect = sqlite3.connect

    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", connect)
            async with sqlite_database.node() as node:
                statements.clear()
                await work(node)

    run(scenario())
    asked = {sql for sql in statements if sql.split()[0] in ("SELECT", "UPDATE", "DELETE")}
    assert len(asked) >= 12
    plans = [(sql, step[3]) for sql in asked for step in sqlite_database.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert not [(sql, step) for sql, step in plans if step.startswith("SCAN")]
