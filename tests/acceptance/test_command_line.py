"""The example of the README, typed as it stands there."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.programs import LOOPBACK, wait_until
from tests.acceptance.server import Server
from tests.acceptance.test_phones import OFFLINE


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sipsilo", *arguments]


def sipsilo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=30, check=False)


def send(server: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    proxy = f"sip:{LOOPBACK}:{server.port}"
    return sipsilo("send", "--proxy", proxy, "--from", "sip:alice@localhost", *arguments)


@contextmanager
def listening(server: Server, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """`sipsilo listen` for bob, who has registered."""
    proxy = f"sip:{LOOPBACK}:{server.port}"
    line = command("listen", "sip:bob@localhost", "--proxy", proxy, *arguments)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: bindings(server), "bob's binding")
        yield process
    finally:
        process.kill()
        process.communicate()


def bindings(server: Server) -> int:
    return len(server.query("SELECT 1 FROM sipsilo_location"))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_message_waits_until_bob_listens(server: Server, transport: str) -> None:
    sent = send(server, "--transport", transport, "sip:bob@localhost", "Are you there?")
    assert sent.returncode == 0, sent.stderr
    assert "202 Accepted" in sent.stdout
    proxy = f"sip:{LOOPBACK}:{server.port}"
    heard = sipsilo("listen", "sip:bob@localhost", "--proxy", proxy, "--transport", transport, "--count", "1")
    assert heard.returncode == 0, heard.stderr
    assert re.search(f"^{OFFLINE}Are you there[?]$", heard.stdout, re.M), heard.stdout
    server.wait_empty()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_message_is_relayed_while_bob_listens(server: Server, transport: str) -> None:
    with listening(server, "--transport", transport, "--count", "3") as bob:
        sent = send(server, "--transport", transport, "--count", "3", "sip:bob@localhost", "Hello")
        assert sent.returncode == 0, sent.stderr
        assert sent.stdout.count("200 OK") == 3, sent.stdout
        output, errors = bob.communicate(timeout=10)
        assert bob.returncode == 0, errors
        assert re.findall("^Hello", output, re.M) == ["Hello"] * 3, output


def test_listening_ends_with_ctrl_c_and_unregisters(server: Server) -> None:
    with listening(server) as bob:
        bob.send_signal(signal.SIGINT)
        _, errors = bob.communicate(timeout=10)
        assert bob.returncode == 0, errors
    assert not bindings(server)


def test_sending_to_another_domain_fails(server: Server) -> None:
    sent = send(server, "sip:bob@elsewhere.example", "Hello")
    assert sent.returncode != 0
    assert "404" in sent.stdout + sent.stderr
