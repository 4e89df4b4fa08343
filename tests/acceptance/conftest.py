"""Fixtures of the acceptance tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.database import Database, ServerDatabase
from tests.acceptance.server import Server

StartServer = Callable[..., Server]
SERVERS = ("mariadb_server", "postgresql_server")


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a server on a `database`; keyword arguments are tables of its settings: proxy={"relay_timeout": 5}."""
    servers: list[Server] = []

    def start(database: Database | None = None, **settings: dict[str, object]) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        server = Server(folder, settings, database)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()
        print(server.log)  # noqa: T201  pytest shows it when the test has failed


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request: pytest.FixtureRequest) -> Iterator[Database | None]:
    """For `start_server`: nothing, which makes it take an SQLite file, or a fresh database on a server.

    Ask for it before `start_server`, so that it is dropped after the server's end.
    """
    if request.param == "sqlite":
        yield None
    else:
        database = ServerDatabase(request.getfixturevalue(request.param))
        yield database
        database.drop()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a module, for those that can live with what the others leave in it."""
    server = Server(tmp_path_factory.mktemp("server"), {})
    server.start()
    yield server
    server.close()


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server with the settings that most tests want."""
    return start_server()
