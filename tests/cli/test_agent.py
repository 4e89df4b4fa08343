"""Where `send` and `listen` send to, and what they say when nobody is there."""

import asyncio
import socket

import pytest
from typer.testing import CliRunner

from sipsilo.cli.agent import AgentError, NextHop, Transport, find_next_hop, read_target
from sipsilo.cli.app import app
from sipsilo.transport.flow import Address


def next_hop(target: str, proxy: str | None = None, transport: Transport | None = None, size: int = 0) -> NextHop:
    return asyncio.run(find_next_hop(read_target(target), proxy, transport, size))


@pytest.mark.parametrize(
    ("target", "proxy", "transport", "size", "expected"),
    [
        ("sip:bob@localhost", None, None, 500, "127.0.0.1:5060 (udp)"),
        ("sip:bob@127.0.0.1:5070", None, None, 500, "127.0.0.1:5070 (udp)"),
        ("sip:bob@127.0.0.1;transport=TCP", None, None, 500, "127.0.0.1:5060 (tcp)"),
        ("sip:bob@127.0.0.1;transport=tcp", None, "udp", 500, "127.0.0.1:5060 (udp)"),
        ("sip:bob@[::1]", None, "tcp", 500, "[::1]:5060 (tcp)"),
        ("sip:bob@nowhere.invalid", "sip:127.0.0.1:5080", None, 500, "127.0.0.1:5080 (udp)"),
        ("tel:+4912345", "sip:127.0.0.1:5080;transport=tcp", None, 500, "127.0.0.1:5080 (tcp)"),
        # RFC 3261 §18.1.1: above 1300 bytes, Via included, a request goes over TCP.
        ("sip:bob@127.0.0.1", None, None, 1200, "127.0.0.1:5060 (udp)"),
        ("sip:bob@127.0.0.1", None, None, 1201, "127.0.0.1:5060 (tcp)"),
        ("sip:bob@127.0.0.1", None, "udp", 9000, "127.0.0.1:5060 (udp)"),
    ],
)
def test_next_hop(target: str, proxy: str | None, transport: Transport | None, size: int, expected: str) -> None:
    assert str(next_hop(target, proxy, transport, size)) == expected


@pytest.mark.parametrize(
    ("target", "proxy", "told"),
    [
        ("tel:+4912345", None, "tel:+4912345: not a sip: URI; --proxy sip:HOST says where to send it"),
        (
            "sips:bob@127.0.0.1",
            None,
            "sips:bob@127.0.0.1: not a sip: URI; --proxy sip:HOST says where to send it",
        ),
        ("sip:bob@127.0.0.1;transport=tls", None, "sip:bob@127.0.0.1;transport=tls: no transport tls here; "),
        ("sip:bob@127.0.0.1", "127.0.0.1", "127.0.0.1: not a SIP URI such as sip:bob@example.org"),
        ("sip:bob@127.0.0.1", "tel:1", "tel:1: not a sip: URI"),
        ("sip:bob@nowhere.invalid", None, "nowhere.invalid: no such host"),
    ],
)
def test_no_next_hop(target: str, proxy: str | None, told: str) -> None:
    with pytest.raises(AgentError) as caught:
        next_hop(target, proxy)
    assert str(caught.value).startswith(told)


def test_next_hop_has_an_address() -> None:
    assert next_hop("sip:bob@[::1]:5070").address == Address("::1", 5070)


@pytest.fixture
def silent_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    "command", ["send --from sip:alice@localhost sip:bob@localhost Hello", "listen sip:bob@localhost"]
)
def test_nobody_is_there(command: str, transport: str, silent_port: int) -> None:
    options = ["--proxy", f"sip:127.0.0.1:{silent_port}", "--transport", transport]
    result = CliRunner().invoke(app, [*command.split(), *options])
    told = f"no answer from 127.0.0.1:{silent_port} ({transport}): connection refused\n"
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", told)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("send --from sip:alice@a bob Hello", "bob: not a SIP URI such as sip:bob@example.org (Bad URI)\n"),
        ("send --from sip:a sip:bob@a Hello", "sip:a: not a user's SIP URI such as sip:bob@example.org\n"),
        ("listen tel:+491234", "tel:+491234: not a user's SIP URI such as sip:bob@example.org\n"),
    ],
)
def test_a_uri_that_cannot_be_used(command: str, told: str) -> None:
    result = CliRunner().invoke(app, command.split())
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", told)
