"""Fixtures of the acceptance tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.server import Server

StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a server; keyword arguments are tables of its settings, as in proxy={"relay_timeout": 5}."""
    servers: list[Server] = []

    def start(**settings: dict[str, object]) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        server = Server(folder, settings)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()
        print(server.log)  # noqa: T201  pytest shows it when the test has failed


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
