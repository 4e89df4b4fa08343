"""dbtext directories that a real Kamailio (module db_text) reads and writes."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, two_agents
from tests.acceptance.kamailio import SCHEMAS, Kamailio
from tests.acceptance.server import Server

TEXT = "a:b\\n\r\n\ttwo lines, ü and \\"
"""What must be escaped. (Kamailio reads a text up to a NUL.)"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Empty tables, as Kamailio's package brings them."""
    directory = tmp_path / "dbtext"
    directory.mkdir()
    for table in ("silo", "version"):
        shutil.copy(SCHEMAS / "dbtext" / "kamailio" / table, directory)
    return directory


@pytest.fixture
def start_kamailio(tmp_path: Path, directory: Path) -> Iterator[Callable[[], Kamailio]]:
    running = []

    def start() -> Kamailio:
        running.append(Kamailio(tmp_path, f"text://{directory}"))
        return running[-1]

    yield start
    for kamailio in running:
        kamailio.close()
        print(kamailio.log)  # noqa: T201  pytest shows it when the test has failed


def transfer(server: Server, way: str, directory: Path) -> str:
    command = [sys.executable, "-m", "sipsilo", "db", way, str(directory), "--config", str(server.config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_kamailio_delivers_what_we_export(
    server: Server, directory: Path, start_kamailio: Callable[[], Kamailio]
) -> None:
    async def store() -> None:
        async with two_agents(server.port) as (alice, _):
            assert (await alice.message("bob", TEXT, "Subject: eins: zwei")).status == 202
            assert (await alice.message("bob", "second")).status == 202

    async def deliver() -> None:
        async with await Agent.open(start_kamailio().port) as bob:
            await bob.register("bob")
            await bob.until_received(2)
            # Kamailio sends them all at once, so they may come in any order
            subjects = {message.text.partition("] ")[2]: message.all("subject") for message in bob.received}
            assert subjects == {TEXT: ["eins: zwei"], "second": []}

    asyncio.run(store())
    assert transfer(server, "export", directory).startswith("2 messages copied\n")
    asyncio.run(deliver())


def test_we_deliver_what_kamailio_wrote(
    server: Server, directory: Path, start_kamailio: Callable[[], Kamailio]
) -> None:
    # an empty silo with our columns: Kamailio's own has no room for the row that its msilo inserts
    assert transfer(server, "export", directory).startswith("0 messages copied\n")
    kamailio = start_kamailio()

    async def store() -> None:
        async with two_agents(kamailio.port) as (alice, _):
            assert (await alice.message("bob", TEXT)).status == 202
            assert (await alice.message("bob", "second")).status == 202

    async def deliver() -> None:
        async with await Agent.open(server.port) as bob:
            await bob.register("bob")
            await bob.until_received(2)
            assert [message.text.partition("] ")[2] for message in bob.received] == [TEXT, "second"]

    asyncio.run(store())
    kamailio.close()  # it writes its tables at its end
    assert transfer(server, "import", directory).startswith("2 messages copied\n")
    asyncio.run(deliver())
    server.wait_empty()
