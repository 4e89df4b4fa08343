"""SIPp stores, registers and receives, and does all of it for 2,000 users in a closed loop."""

from pathlib import Path

import pytest

from tests.acceptance.server import Server
from tests.acceptance.sipp import run_sipp

TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp"])


def users_named(count: int) -> list[str]:
    return [f"u{number:04d}" for number in range(count)]


@TRANSPORTS
def test_messages_for_absent_users_are_stored(server: Server, tmp_path: Path, transport: str) -> None:
    users = users_named(100)
    run_sipp(tmp_path, server.port, "store", users, transport)
    assert sorted(server.bodies()) == [f"to={user};" for user in users]


@TRANSPORTS
def test_stored_messages_come_at_registration(server: Server, tmp_path: Path, transport: str) -> None:
    users = users_named(100)
    run_sipp(tmp_path / "store", server.port, "store", users, transport)
    delivered = run_sipp(tmp_path / "register", server.port, "register", users, transport)
    assert sorted(delivered) == [f"to={user}; sip:{user}" for user in users]
    server.wait_empty()


@TRANSPORTS
def test_closed_loop_of_2000_users(server: Server, tmp_path: Path, transport: str) -> None:
    users = users_named(2000)
    delivered = run_sipp(tmp_path, server.port, "loop", users, transport)
    assert sorted(delivered) == [f"to={user}; sip:{user}" for user in users]
    server.wait_empty()
