"""The servers of tests/databases.py."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncmy
import asyncpg
import pytest

from bench.databases import DatabaseError, is_alive
from tests.acceptance.programs import free_port, wait_until
from tests.databases import MariaDb, PostgreSql

Server = MariaDb | PostgreSql


@pytest.fixture(params=["mariadb_server", "postgresql_server", "fast_mariadb_server", "fast_postgresql_server"])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    server = request.getfixturevalue(request.param)
    url = server.create_database()
    yield server, url
    server.drop_database(url)


def test_each_test_has_an_empty_database(database: tuple[Server, str]) -> None:
    server, url = database
    server.execute(url, "CREATE TABLE thing (name VARCHAR(20), number INT)")
    server.execute(url, "INSERT INTO thing VALUES (?, ?), ('b', 2)", "é", 1)
    assert server.execute(url, "SELECT name, number FROM thing ORDER BY number") == [("é", 1), ("b", 2)]
    other = server.create_database()
    with pytest.raises((asyncmy.errors.ProgrammingError, asyncpg.UndefinedTableError)):
        server.execute(other, "SELECT * FROM thing")
    server.drop_database(other)


def test_it_keeps_its_rows_and_its_port_when_it_is_killed(database: tuple[Server, str]) -> None:
    server, url = database
    server.execute(url, "CREATE TABLE thing (number INT)")
    server.execute(url, "INSERT INTO thing VALUES (1)")
    server.kill()
    with pytest.raises((OSError, asyncmy.errors.OperationalError)):
        server.execute(url, "SELECT number FROM thing")
    server.start()
    assert server.execute(url, "SELECT number FROM thing") == [(1,)]


def test_a_stopped_server_goes_on_where_it_was(database: tuple[Server, str]) -> None:
    server, url = database
    server.stop_process()
    assert "\nState:\tT" in Path(f"/proc/{server.pid}/status").read_text()
    server.continue_process()
    assert server.execute(url, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("kind", ["MariaDb", "PostgreSql"])
def test_a_server_does_not_outlive_its_tests(kind: str) -> None:
    program = f"import os; from tests.databases import *; server = {kind}(free_port(), fast=True); server.start();"
    program += (
        "print(server.directory, *server.process_ids(), flush=True); server.stop_process(); os.kill(os.getpid(), 9)"
    )
    words = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False
    ).stdout.split()
    directory, pids = Path(words[0]), list(map(int, words[1:]))
    assert pids
    wait_until(lambda: not any(map(is_alive, pids)) and not directory.exists(), "the server's end, and its directory's")


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.databases.DIRECTORIES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    for server, package in ((MariaDb(free_port()), "mariadb-server"), (PostgreSql(free_port()), "postgresql")):
        with pytest.raises(DatabaseError, match=f"apt-get install {package}$"):
            server.program("postgres")
