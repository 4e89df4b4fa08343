"""Databases on servers that go away and come back."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import literal, select

from sipsilo.storage.connection import Connection
from sipsilo.storage.engine import Engine, Operation, Unavailable
from tests.databases import TestServer
from tests.loop import run
from tests.storage.conftest import Database

on_servers = pytest.mark.parametrize("database", ["mysql", "postgresql"], indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """The server that the database is on, which runs again after the test."""
    kind = request.node.callspec.params["database"]
    server: TestServer = request.getfixturevalue("fast_mariadb_server" if kind == "mysql" else "fast_postgresql_server")
    yield server
    server.revive()


class Ask(Operation[bool, None]):
    """Asks the server for a number; given True, when it has just been stopped."""

    rank = 1

    def __init__(self, server: TestServer) -> None:
        self._server = server

    async def run(self, connection: Connection, items: Sequence[bool]) -> Sequence[None]:
        if any(items):
            self._server.stop_process()
        await connection.fetch(select(literal(1)), {})
        return [None] * len(items)


@on_servers
def test_a_server_that_stops_in_a_transaction_is_given_up(
    database: Database, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipsilo.storage.server.GROUP_TIMEOUT", 0.3)
    monkeypatch.setattr("sipsilo.storage.server.CONNECT_TIMEOUT", 0.3)
    ask = Ask(server)

    async def scenario() -> None:
        async with database.node() as node:
            start = time.monotonic()
            for stop in (True, False):
                with pytest.raises(Unavailable, match="does not answer"):
                    await node.engine.submit(ask, stop)
            assert time.monotonic() - start < 3
            server.continue_process()
            while not await answered(node.engine, ask):
                pass

    run(scenario())


async def answered(engine: Engine, ask: Ask) -> bool:
    """Whether the server answers again; if not, after a pause."""
    try:
        await engine.submit(ask, False)
    except Unavailable:
        await asyncio.sleep(0.05)
        return False
    return True
