"""PJSIP's user agent in a process of its own (see pjsua_process.py)."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from tests.acceptance.agent import DOMAIN
from tests.acceptance.phone import Phone
from tests.acceptance.programs import LOOPBACK, wait_until

Event = dict[str, object]


class Pjsua(Phone):
    """One PJSIP user agent."""

    def __init__(self, folder: Path, user: str, server_port: int, transport: str) -> None:
        if importlib.util.find_spec("pjsua2") is None:
            pytest.fail("pjsua2 is missing: pip install pjsua2-python", pytrace=False)
        script = Path(__file__).with_name("pjsua_process.py")
        proxy = f"sip:{LOOPBACK}:{server_port};lr;transport={transport}"
        super().__init__(folder, [sys.executable, str(script), transport, f"sip:{user}@{DOMAIN}", proxy])
        wait_until(lambda: self.events("register"), "PJSIP's registration")
        assert self.events("register")[0]["bound"], self.events("register")

    def events(self, name: str) -> list[Event]:
        """What has happened of one kind: register, message, sent, typing."""
        # PJSIP writes lines of its own between ours before it can be told not to; a last line may be half.
        lines = self._text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return [event for event in events if event["event"] == name]

    @property
    def received(self) -> list[str]:
        return [str(event["text"]) for event in self.events("message")]

    def send(self, user: str, text: str) -> int:
        before = len(self.events("sent"))
        self._order(do="send", to=f"sip:{user}@{DOMAIN}", text=text)
        wait_until(lambda: len(self.events("sent")) > before, "an answer to PJSIP's MESSAGE")
        return int(str(self.events("sent")[before]["status"]))

    def type(self, user: str) -> None:
        """Tell a user of the domain that a message is being written (RFC 3994)."""
        self._order(do="typing", to=f"sip:{user}@{DOMAIN}")

    def leave(self) -> None:
        self._order(do="leave")
        self._ended()

    def _order(self, **values: str) -> None:
        self._command(json.dumps(values))
