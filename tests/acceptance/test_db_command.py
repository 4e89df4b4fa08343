"""`sipsilo db`, `remind`, `reminders` and `stats` as programs, on all databases, beside running servers."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.acceptance.agent import DOMAIN, Agent, two_agents
from tests.acceptance.conftest import SERVERS, StartServer
from tests.acceptance.database import Database, ServerDatabase
from tests.acceptance.programs import wait_until
from tests.acceptance.server import Server
from tests.databases import TestServer

REMINDER = f"sip:reminder@{DOMAIN}"
MESSAGES = 3000
LATE = 2_100_000_000


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sipsilo", *arguments]


def sipsilo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)


def done(*arguments: str) -> str:
    result = sipsilo(*arguments)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    return result.stdout


def refused(*arguments: str) -> str:
    """One line on stderr."""
    result = sipsilo(*arguments)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip()


@pytest.fixture(params=SERVERS)
def test_server(request: pytest.FixtureRequest) -> TestServer:
    server: TestServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def empty(test_server: TestServer) -> Iterator[str]:
    """The URL of an empty database on a server."""
    url = test_server.create_database()
    yield url
    test_server.drop_database(url)


def test_init_check_and_upgrade(empty: str) -> None:
    assert refused("run", "--db-url", empty).endswith("there is no table silo; type: sipsilo db init")
    assert sipsilo("db", "check", "--db-url", empty).returncode == 1
    done("db", "init", "--db-url", empty)
    assert done("db", "check", "--db-url", empty).endswith(": ok\n")
    assert done("db", "upgrade", "--db-url", empty).endswith(": has all that sipsilo needs\n")
    assert refused("db", "init", "--db-url", empty).endswith("table silo exists already and has all that sipsilo needs")


def test_what_a_server_says_is_told_in_one_line(test_server: TestServer, empty: str) -> None:
    place = empty.rpartition("@")[2]
    address, _, name = place.partition("/")
    scheme = empty.partition(":")[0]
    assert "Connection refused" in refused("db", "check", "--db-url", f"{scheme}://u:hush@127.0.0.1:1/{name}")
    assert re.search("nowhere", refused("db", "init", "--db-url", empty.replace(name, "nowhere")))
    user = "CREATE USER poor IDENTIFIED BY 'right'" if scheme == "mysql" else "CREATE ROLE poor LOGIN PASSWORD 'right'"
    test_server.execute(empty, user)
    try:
        if scheme == "mysql":  # PostgreSQL trusts whoever comes here
            told = refused("db", "check", "--db-url", f"{scheme}://poor:hush@{address}/{name}")
            assert "Access denied" in told
            assert "hush" not in told
            test_server.execute(empty, f"GRANT SELECT ON {name}.* TO poor")
        assert "denied" in refused("db", "init", "--db-url", f"{scheme}://poor:right@{address}/{name}")
    finally:
        test_server.execute(empty, "DROP USER poor")


@pytest.fixture
def other(test_server: TestServer) -> Iterator[ServerDatabase]:
    """A database on a server with empty tables."""
    database = ServerDatabase(test_server)
    yield database
    database.drop()


def fill(folder: Path) -> None:
    """A dbtext directory with many messages."""
    header = (
        "id(int,auto) src_addr(str) dst_addr(str) username(str) domain(str) inc_time(int) exp_time(int) snd_time(int)"
    )
    row = "{0}:sip\\:alice@x:sip\\:bob@example.org:bob:example.org:1700000000:2100000000:0:text/plain:number {0}\n"
    lines = [row.format(number) for number in range(1, MESSAGES + 1)]
    (folder / "silo").write_text(f"{header} ctype(str) body(str)\n" + "".join(lines))


@pytest.mark.parametrize(
    ("test_server", "end"),
    [("mariadb_server", signal.SIGKILL), ("postgresql_server", signal.SIGINT)],
    indirect=["test_server"],
)
def test_an_interrupted_import_goes_on_with_no_message_twice(
    tmp_path: Path, other: ServerDatabase, end: signal.Signals
) -> None:
    fill(tmp_path)
    arguments = ("db", "import", f"text://{tmp_path}", "--db-url", other.url)
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: other.query("SELECT count(*) FROM silo")[0][0] > 0, "the first messages", 20)
    process.send_signal(end)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (-9 if end == signal.SIGKILL else 130)
    assert "Traceback" not in errors
    if end == signal.SIGINT:
        assert errors.endswith("interrupted; the same command goes on from here\n")
    earlier = other.query("SELECT count(*) FROM silo")[0][0]
    assert 0 < earlier < MESSAGES, "it was too fast to be interrupted"
    result = sipsilo(*arguments)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        f"{MESSAGES - earlier} messages copied, {earlier} more by earlier runs\nthe counts of source and target agree\n"
    )
    bodies = [bytes(body) for (body,) in other.query("SELECT body FROM silo ORDER BY mid")]
    assert bodies == [b"number %d" % number for number in range(1, MESSAGES + 1)]


def test_imported_messages_are_delivered_by_a_running_server(
    tmp_path: Path, other: ServerDatabase, start_server: StartServer
) -> None:
    """From dbtext into a database, out of it into a SQLite file, and from there to the phone."""
    header = "id(int,auto) src_addr(str) dst_addr(str) username(str) domain(str) inc_time(int) exp_time(int) "
    row = f"sip\\:alice@{DOMAIN}:sip\\:bob@{DOMAIN}:bob:{DOMAIN}:1700000000:{LATE}:0:text/plain:"
    (tmp_path / "silo").write_text(f"{header}snd_time(int) ctype(str) body(str)\n1:{row}one\n2:{row}a\\:b\\n\n")
    assert sipsilo("db", "import", str(tmp_path), "--db-url", other.url).returncode == 0
    server = start_server(msilo={"add_date": False})
    file = tmp_path / "server0" / "silo.db"
    assert sipsilo("db", "export", f"sqlite:///{file}", "--db-url", other.url).returncode == 0

    async def scenario() -> None:
        async with await Agent.open(server.port) as bob:
            await bob.register("bob")
            await bob.until_received(2)
            assert [message.text for message in bob.received] == ["one", "a:b\n"]

    asyncio.run(scenario())
    server.wait_empty()


@pytest.fixture
def reminding(database: Database | None, start_server: StartServer) -> Server:
    """A server that looks every three seconds for reminders that others have written."""
    return start_server(database, msilo={"reminder": REMINDER, "send_time": 3, "add_date": False})


def remind(server: Server, seconds: float, text: str) -> tuple[int, int]:
    """Its number, and the time that it was told."""
    at = int(time.time() + seconds) + 1
    when = datetime.fromtimestamp(at, UTC).isoformat()
    said = done("remind", "--config", str(server.config), "--at", when, f"sip:bob@{DOMAIN}", text)
    return int(said.split()[1]), at


def test_a_running_server_sends_a_reminder_at_its_time(reminding: Server) -> None:
    arrivals: list[float] = []

    async def scenario() -> None:
        async with await Agent.open(reminding.port) as bob:
            bob.on_message = lambda request: (arrivals.append(time.time()), bob.reply(request, 200))[1]
            await bob.register("bob")
            mid, _ = await asyncio.to_thread(remind, reminding, 3600, "never")
            _, at = await asyncio.to_thread(remind, reminding, 8, "tea is ready")
            listed = await asyncio.to_thread(done, "reminders", "list", "--json", "--config", str(reminding.config))
            assert [each["text"] for each in json.loads(listed)] == ["tea is ready", "never"]
            await asyncio.to_thread(done, "reminders", "cancel", "--config", str(reminding.config), str(mid))
            await bob.until_received(1, within=15)
            assert 0 <= arrivals[0] - at < 0.5
            reminder = bob.received[0]
            assert (reminder.text, reminder.header("content-type")) == ("tea is ready", "text/plain;charset=UTF-8")
            assert reminder.header("from").startswith(f"<{REMINDER}>")

    asyncio.run(scenario())
    reminding.wait_empty()


def test_stats_tell_what_the_server_has_counted(reminding: Server) -> None:
    def figures() -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = json.loads(done("stats", "--json", "--config", str(reminding.config)))
        return found

    async def scenario() -> None:
        async with two_agents(reminding.port) as (alice, bob):
            for owner in ("bob", "bob", "carol"):
                assert (await alice.message(owner, "Hi")).status == 202
            await bob.register("bob")
            await bob.until_received(2)

    asyncio.run(scenario())
    wait_until(lambda: figures()["sum"]["dumped_messages"] == 2, "the published statistics", 15)
    told = figures()
    assert told["sum"] == {
        "stored_messages": 3,
        "dumped_messages": 2,
        "failed_messages": 0,
        "dumped_reminders": 0,
        "failed_reminders": 0,
    }
    assert list(told["nodes"].values()) == [told["sum"]]
    assert (told["now"]["stored"], told["now"]["due_reminders"]) == (1, 0)
    assert 0 <= told["now"]["oldest_age"] < 60
