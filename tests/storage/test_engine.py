"""Group commit: all that waits in one transaction, and nobody is told before it is committed."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sipsilo.silo.repository import RepositoryError
from sipsilo.storage.connection import Connection
from sipsilo.storage.engine import Operation, StorageError, StorageFull
from tests.loop import run
from tests.storage.conftest import Database
from tests.storage.gate import held
from tests.storage.samples import message


class Probe(Operation[str, list[str]]):
    """Writes down what it is given, and gives back what was written before in the same transaction."""

    def __init__(self, rank: int, name: str, seen: list[str]) -> None:
        self.rank = rank
        self.groups: list[int] = []
        self._name = name
        self._seen = seen

    async def run(self, connection: Connection, items: Sequence[str]) -> Sequence[list[str]]:
        self.groups.append(len(items))
        before = list(self._seen)
        self._seen += [f"{self._name}{item}" for item in items]
        return [before] * len(items)


def test_what_waits_is_committed_together(database: Database) -> None:
    async def scenario() -> None:
        probe = Probe(1, "p", [])
        async with database.node() as node:
            async with held(node.engine):
                waiting = [node.engine.submit(probe, str(number)) for number in range(300)]
                assert not probe.groups
            await asyncio.gather(*waiting)
            await node.engine.submit(probe, "alone")
            assert probe.groups == [300, 1]

    run(scenario())


def test_writes_come_before_the_reads_that_must_see_them(database: Database) -> None:
    async def scenario() -> None:
        seen: list[str] = []
        early, late = Probe(1, "e", seen), Probe(2, "l", seen)
        async with database.node() as node:
            async with held(node.engine):
                asked = [node.engine.submit(probe, str(n)) for n, probe in enumerate([late, early, late, early])]
            answers = await asyncio.gather(*asked)
            assert answers == [["e1", "e3"], [], ["e1", "e3"], []]
            assert early.groups == late.groups == [2]

    run(scenario())


def test_answer_comes_after_the_commit(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            for _ in range(20):
                mid = await node.messages.add(message())
                assert database.execute("SELECT count(*) FROM silo WHERE mid=?", mid) == [(1,)]
                await node.messages.delete(mid)
                assert database.execute("SELECT count(*) FROM silo") == [(0,)]

    run(scenario())


def test_nothing_acknowledged_is_lost_by_kill(database: Database) -> None:
    for count in (1, 100, 400):
        acknowledged = add_and_kill(database.url, count)
        stored = {mid for (mid,) in database.execute("SELECT mid FROM silo")}
        assert len(acknowledged) >= count
        assert acknowledged <= stored


def add_and_kill(url: str, count: int) -> set[int]:
    """Let a process store messages, kill it when it has acknowledged so many; their numbers."""
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.adder", url],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'src'}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        lines = [process.stdout.readline() for _ in range(count)]
        process.kill()
        lines += process.stdout.readlines()
    # the kill may have cut the last line
    return {int(line) for line in lines if line.endswith("\n")}


def test_no_more_than_the_limit_waits(database: Database) -> None:
    async def scenario() -> None:
        async with database.node(max_pending=3) as node:
            async with held(node.engine):
                waiting = [asyncio.ensure_future(node.messages.add(message())) for _ in range(2)]
                with pytest.raises(StorageFull):
                    await node.messages.add(message())
            await asyncio.gather(*waiting)
            assert await node.messages.add(message())

    assert issubclass(StorageFull, RepositoryError)
    run(scenario())


def test_caller_who_gives_up_does_not_disturb_the_others(database: Database) -> None:
    async def scenario() -> None:
        async with database.node(max_pending=3) as node:
            async with held(node.engine):
                given_up = asyncio.ensure_future(node.messages.add(message()))
                other = asyncio.ensure_future(node.messages.add(message()))
                given_up.cancel()
            assert await other
            await asyncio.gather(*(node.messages.add(message()) for _ in range(3)))

    run(scenario())


def test_close_finishes_all_that_was_submitted(database: Database) -> None:
    async def scenario() -> None:
        async with database.node() as node:
            adding = [asyncio.ensure_future(node.messages.add(message())) for _ in range(1500)]
        assert len(await asyncio.gather(*adding)) == 1500

    run(scenario())
    assert database.execute("SELECT count(*) FROM silo") == [(1500,)]


def test_work_for_a_closed_database_is_refused(database: Database) -> None:
    """Else its caller would wait for ever."""

    async def scenario() -> None:
        async with database.node() as node:
            pass
        with pytest.raises(StorageError):
            async with asyncio.timeout(1):
                await node.messages.add(message())

    run(scenario())


@pytest.mark.parametrize("count", [1, 5], ids=["one statement", "several"])
def test_another_program_sees_what_is_acknowledged(database: Database, count: int) -> None:
    """What is one statement needs no transaction around it; it is committed all the same."""

    async def scenario() -> None:
        async with database.node() as node:
            async with held(node.engine):
                adding = [asyncio.ensure_future(node.messages.add(message())) for _ in range(count)]
            mids = await asyncio.gather(*adding)
            assert database.execute("SELECT mid FROM silo ORDER BY mid") == [(mid,) for mid in mids]

    run(scenario())
