"""How the commands end when things do not go well."""

import signal
from pathlib import Path

import pytest

from tests.acceptance.programs import LOOPBACK, wait_until
from tests.acceptance.server import Server
from tests.acceptance.test_command_line import bindings, listening, send, sipsilo


def test_sigterm_unregisters(server: Server) -> None:
    with listening(server) as bob:
        bob.send_signal(signal.SIGTERM)
        _, errors = bob.communicate(timeout=10)
        assert bob.returncode == 0, errors
        assert errors == "REGISTER sip:bob@localhost: 200 OK, for 3600 s\n"
    assert not bindings(server)


def test_refused_registration_is_told(server: Server) -> None:
    proxy = f"sip:{LOOPBACK}:{server.port}"
    ended = sipsilo("listen", "sip:bob@elsewhere.example", "--proxy", proxy)
    assert ended.returncode == 1
    assert ended.stdout == ""
    answer, told = ended.stderr.splitlines()
    assert answer.startswith("REGISTER sip:bob@elsewhere.example: 4")
    assert told == "sip:bob@elsewhere.example is not registered"


def test_refused_message_does_not_stop_the_others(server: Server) -> None:
    sent = send(server, "--count", "2", "sip:bob@elsewhere.example", "Hello")
    assert sent.stdout.splitlines() == ["404 Not Found", "404 Not Found"]
    assert sent.returncode == 1


def test_lost_connection_is_told(server: Server) -> None:
    with listening(server, "--transport", "tcp") as bob:
        server.kill()
        _, errors = bob.communicate(timeout=10)
        assert bob.returncode == 1
        assert errors.splitlines()[-1] == "connection lost"


def test_server_that_is_gone_does_not_keep_listen_from_ending(server: Server) -> None:
    with listening(server) as bob:
        server.kill()
        bob.send_signal(signal.SIGINT)
        _, errors = bob.communicate(timeout=10)
        assert bob.returncode == 1
        assert "Traceback" not in errors
        assert errors.splitlines()[-1].startswith("no answer from 127.0.0.1:")


def test_message_bytes_arrive_as_typed(server: Server) -> None:
    text = "Grüße 😀\nzweite Zeile"
    with listening(server, "--count", "1") as bob:
        assert send(server, "sip:bob@localhost", text).stdout == "200 OK\n"
        output, _ = bob.communicate(timeout=10)
    assert output == f"{text}\n"


def test_message_of_some_length_goes_over_tcp(server: Server) -> None:
    text = "x" * 20_000
    assert send(server, "sip:bob@localhost", text).stdout == "202 Accepted\n"
    assert server.bodies() == [text]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_taken_port_is_told_in_one_line(server: Server, transport: str, tmp_path: Path) -> None:
    address = f"{transport}:{LOOPBACK}:{server.port}"
    ended = sipsilo("run", "--listen", address, "--db-url", f"sqlite:///{tmp_path}/other.db")
    assert ended.returncode == 1
    (told,) = ended.stderr.splitlines()
    assert told.startswith(f"sipsilo: cannot listen on {address}: ")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_message_that_cannot_be_printed_is_not_accepted(server: Server, transport: str) -> None:
    with listening(server, "--transport", transport) as bob:
        assert bob.stdout is not None
        bob.stdout.close()
        assert send(server, "sip:bob@localhost", "Hello").stdout == "202 Accepted\n"  # kept for a better time
        wait_until(lambda: bob.poll() is not None, "the end of sipsilo listen")
        assert bob.returncode == 1
    assert server.bodies() == ["Hello"]
