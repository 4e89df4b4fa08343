"""baresip and PJSIP write to each other's absent owner, come back, and find what was sent."""

import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.baresip import Baresip
from tests.acceptance.phone import Phone
from tests.acceptance.pjsua import Pjsua
from tests.acceptance.programs import wait_until
from tests.acceptance.server import Server

OFFLINE = r"\[Offline message - \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\] "
TEXT = 'Are you “there”, "Bob"?'

# pyproject.toml asks for pjsua2-python only where it is ready-made.
PJSUA_EXISTS = sys.version_info < (3, 13) and platform.machine() == "x86_64"
needs_pjsua = pytest.mark.skipif(not PJSUA_EXISTS, reason="no pjsua2-python for this platform")

OpenPhone = Callable[[str], Phone]


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["baresip", pytest.param("pjsua", marks=needs_pjsua)])
def open_phone(request: pytest.FixtureRequest, server: Server, transport: str, tmp_path: Path) -> Iterator[OpenPhone]:
    """Open a phone of alice or bob, who know each other."""
    peers = {"alice": "bob", "bob": "alice"}
    phones: list[Phone] = []

    def open_one(user: str) -> Phone:
        folder = tmp_path / f"phone{len(phones)}"
        phone: Phone
        if request.param == "baresip":
            phone = Baresip(folder, user, server.port, transport, peers[user])
        else:
            phone = Pjsua(folder, user, server.port, transport)
        phones.append(phone)
        return phone

    yield open_one
    for phone in phones:
        phone.kill()


def assert_offline_message(phone: Phone, text: str) -> None:
    wait_until(lambda: phone.received, "a stored message on the phone")
    assert len(phone.received) == 1
    assert re.fullmatch(OFFLINE + re.escape(text), phone.received[0]), phone.received


def send_online(sender: Phone, receiver: Phone, user: str, text: str) -> None:
    """Send a text that is relayed: 200, not the 202 of one that is queued behind a delivery."""
    # A registration starts a delivery, if only of nothing, which may still be under way.
    wait_until(lambda: sender.send(user, text) == 200, "a relayed message")
    wait_until(lambda: receiver.received[-1:] == [text], "a message as it was sent")


def test_online_message_is_relayed(open_phone: OpenPhone, server: Server) -> None:
    alice, bob = open_phone("alice"), open_phone("bob")
    send_online(alice, bob, "bob", TEXT)
    send_online(bob, alice, "alice", "Yes")
    server.wait_empty()


def test_message_waits_for_a_phone_that_has_left(open_phone: OpenPhone, server: Server) -> None:
    alice = open_phone("alice")
    open_phone("bob").leave()
    assert alice.send("bob", TEXT) == 202
    assert server.bodies() == [TEXT]
    assert_offline_message(open_phone("bob"), TEXT)
    server.wait_empty()


def test_message_waits_for_a_phone_that_has_died(open_phone: OpenPhone, server: Server) -> None:
    alice = open_phone("alice")
    open_phone("bob").kill()
    assert alice.send("bob", TEXT) == 202
    assert_offline_message(open_phone("bob"), TEXT)
    server.wait_empty()


@needs_pjsua
def test_typing_is_relayed_and_never_stored(server: Server, tmp_path: Path, transport: str) -> None:
    alice = Pjsua(tmp_path / "alice", "alice", server.port, transport)
    bob = Pjsua(tmp_path / "bob", "bob", server.port, transport)
    try:
        alice.type("bob")
        wait_until(lambda: bob.events("typing"), "an isComposing indication")
        bob.leave()
        alice.type("bob")
        # Answered in order, so the indication has been dropped when this is stored.
        assert alice.send("bob", TEXT) == 202
        assert server.bodies() == [TEXT]
    finally:
        alice.kill()
        bob.kill()
