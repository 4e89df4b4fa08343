"""sipsilo on a table that OpenSIPS or Kamailio has made, and beside a Kamailio that goes on using it."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import DOMAIN, Agent
from tests.acceptance.conftest import SERVERS, StartServer
from tests.acceptance.database import Database
from tests.acceptance.kamailio import Kamailio, create_tables
from tests.acceptance.programs import free_port, wait_until
from tests.databases import TestServer
from tests.storage.foreign import OPENSIPS, PLAIN_INSERT

LATE = 2_100_000_000


class ForeignDatabase(Database):
    """A database on a server, with whatever tables it gets."""

    def __init__(self, server: TestServer) -> None:
        self.server = server
        self.url = server.create_database()

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.server.execute(self.url, sql, *values)

    def owners(self) -> list[str]:
        """Whose messages are stored."""
        return [user for (user,) in self.query("SELECT username FROM silo ORDER BY id")]


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest) -> Iterator[ForeignDatabase]:
    database = ForeignDatabase(request.getfixturevalue(request.param))
    yield database
    database.server.drop_database(database.url)


@pytest.fixture
def start_kamailio(tmp_path: Path, database: ForeignDatabase) -> Iterator[Callable[[], Kamailio]]:
    running = []

    def start() -> Kamailio:
        running.append(Kamailio(tmp_path, database.url))
        return running[-1]

    yield start
    for kamailio in running:
        kamailio.close()
        print(kamailio.log)  # noqa: T201  pytest shows it when the test has failed


def sipsilo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "sipsilo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def upgrade(database: ForeignDatabase) -> None:
    """A start says what to type; after that the tables are ready."""
    refused = sipsilo("run", "--listen", f"udp:127.0.0.1:{free_port()}", "--db-url", database.url)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.endswith("; type: sipsilo db upgrade\n")
    done = sipsilo("db", "upgrade", "--db-url", database.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert sipsilo("db", "check", "--db-url", database.url).returncode == 0


def test_messages_of_opensips_are_delivered(database: ForeignDatabase, start_server: StartServer) -> None:
    kind = "postgresql" if database.url.startswith("postgres") else "mariadb"
    database.server.run_script(OPENSIPS[kind] + ";", database.url.rpartition("/")[2])
    for number in range(3):
        text = b"\xc3\xbc number %d" % number
        source, to = f"sip:alice@{DOMAIN}", f"sip:bob@{DOMAIN}"
        database.query(PLAIN_INSERT, source, to, "bob", DOMAIN, 1_700_000_000, LATE, 0, "text/plain", text)
    upgrade(database)
    server = start_server(database, msilo={"add_date": False})

    async def scenario() -> None:
        async with await Agent.open(server.port) as bob:
            await bob.register("bob")
            await bob.until_received(3)
            assert [message.text for message in bob.received] == [f"ü number {number}" for number in range(3)]
            first = bob.received[0]
            assert (first.header("content-type"), first.user) == ("text/plain", "bob")
            assert first.header("from").startswith(f"<sip:alice@{DOMAIN}>")

    asyncio.run(scenario())
    wait_until(lambda: not database.owners(), "an empty silo table")


def test_beside_a_running_kamailio(
    database: ForeignDatabase, start_server: StartServer, start_kamailio: Callable[[], Kamailio]
) -> None:
    """Each delivers what the other has stored; an owner registers at one of them only (docs/databases.md)."""
    create_tables(database.server, database.url)
    kamailio = start_kamailio()

    async def before() -> None:
        async with await Agent.open(kamailio.port) as alice:
            for owner in ("bob", "carol", "bob"):
                assert (await alice.message(owner, f"by Kamailio to {owner}")).status == 202

    asyncio.run(before())
    assert database.owners() == ["bob", "carol", "bob"]
    upgrade(database)
    server = start_server(database)

    async def after() -> None:
        async with (
            await Agent.open(kamailio.port) as theirs,
            await Agent.open(server.port) as ours,
        ):
            # what Kamailio stored before the upgrade, at sipsilo
            await ours.register("bob")
            await ours.until_received(2)
            # both go on storing
            assert (await theirs.message("dave", "by Kamailio to dave")).status == 202
            assert (await ours.message("erin", "by sipsilo to erin", "Subject: x")).status == 202
            await asyncio.to_thread(wait_until, lambda: database.owners() == ["carol", "dave", "erin"], "three rows")
            # and each delivers
            await ours.register("dave")
            await ours.until_received(3)
            await theirs.register("carol")
            await theirs.until_received(1)
            await theirs.register("erin")
            await theirs.until_received(2)
            assert [message.text.partition("] ")[2] for message in ours.received] == [
                "by Kamailio to bob",
                "by Kamailio to bob",
                "by Kamailio to dave",
            ]
            assert [message.text.partition("] ")[2] for message in theirs.received] == [
                "by Kamailio to carol",
                "by sipsilo to erin",
            ]
            await asyncio.to_thread(wait_until, lambda: not database.owners(), "an empty silo table")

    asyncio.run(after())


def test_reminder_for_which_their_table_has_no_room_is_refused_in_one_line(
    database: ForeignDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times of OpenSIPS' table end in 2038."""
    kind = "postgresql" if database.url.startswith("postgres") else "mariadb"
    database.server.run_script(OPENSIPS[kind] + ";", database.url.rpartition("/")[2])
    upgrade(database)
    monkeypatch.setenv("SIPSILO_MSILO__REMINDER", f"sip:reminder@{DOMAIN}")
    monkeypatch.setenv("SIPSILO_MSILO__SEND_TIME", "1")
    late = sipsilo("remind", "--at", "2040-01-01T12:00", f"sip:bob@{DOMAIN}", "still there?", "--db-url", database.url)
    assert (late.returncode, late.stdout, late.stderr.count("\n")) == (1, "", 1), late.stderr
    assert "Traceback" not in late.stderr
    assert database.owners() == []
