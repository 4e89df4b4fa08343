"""sipsak, which receives on another port than its Via says, and so is answered by rport only (RFC 3581)."""

import subprocess
from pathlib import Path

import pytest

from tests.acceptance.programs import LOOPBACK, find_program, free_port
from tests.acceptance.server import Server

MESSAGE = """\
MESSAGE sip:bob@localhost SIP/2.0
Max-Forwards: 70
From: <sip:alice@localhost>;tag=77
To: <sip:bob@localhost>
Call-ID: one-of-sipsak
CSeq: 1 MESSAGE
Content-Type: text/plain
Content-Length: 14

Are you there?
"""


def sipsak(*arguments: str) -> str:
    """Run sipsak; its output. It exits with 0 only after a 2xx."""
    command = [find_program("sipsak", "sipsak"), "-vvv", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_message_is_stored(server: Server, tmp_path: Path, transport: str) -> None:
    file = tmp_path / "message"
    file.write_text(MESSAGE.rstrip("\n"))
    output = sipsak("-f", str(file), "-E", transport, "-s", f"sip:bob@localhost:{server.port}")
    assert "SIP/2.0 202 Accepted" in output
    assert server.bodies() == ["Are you there?"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_options_are_answered(server: Server, transport: str) -> None:
    assert "SIP/2.0 200 OK" in sipsak("-E", transport, "-s", f"sip:localhost:{server.port}")


def test_registration(server: Server) -> None:
    contact = f"sip:bob@{LOOPBACK}:{free_port()}"
    output = sipsak("-U", "-C", contact, "-x", "60", "-s", f"sip:bob@localhost:{server.port}")
    assert "All usrloc tests completed successful" in output
    assert f"Contact: <{contact}>;expires=60" in output
