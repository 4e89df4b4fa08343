"""PJSIP's user agent in a process of its own (see pjsua_process.py)."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.agent import DOMAIN
from tests.acceptance.programs import LOOPBACK, wait_until

Event = dict[str, object]


class Pjsua:
    """One PJSIP user agent."""

    def __init__(self, folder: Path, user: str, server_port: int, transport: str) -> None:
        if importlib.util.find_spec("pjsua2") is None:
            pytest.fail("pjsua2 is missing: pip install pjsua2-python", pytrace=False)
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "output"
        proxy = f"sip:{LOOPBACK}:{server_port};lr;transport={transport}"
        script = Path(__file__).with_name("pjsua_process.py")
        with self._output.open("wb") as output, (folder / "errors").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(script), transport, f"sip:{user}@{DOMAIN}", proxy],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
            )
        wait_until(lambda: self.events("register"), "PJSIP's registration")
        assert self.events("register")[0]["bound"], self.events("register")

    def events(self, name: str) -> list[Event]:
        """What has happened of one kind: register, message, sent, typing."""
        # PJSIP writes lines of its own between ours before it can be told not to; a last line may be half.
        lines = self._output.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return [event for event in events if event["event"] == name]

    @property
    def received(self) -> list[str]:
        return [str(event["text"]) for event in self.events("message")]

    def _command(self, **values: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write((json.dumps(values) + "\n").encode())
        self._process.stdin.flush()

    def send(self, user: str, text: str) -> int:
        before = len(self.events("sent"))
        self._command(do="send", to=f"sip:{user}@{DOMAIN}", text=text)
        wait_until(lambda: len(self.events("sent")) > before, "an answer to PJSIP's MESSAGE")
        return int(str(self.events("sent")[before]["status"]))

    def type(self, user: str) -> None:
        """Tell a user of the domain that a message is being written (RFC 3994)."""
        self._command(do="typing", to=f"sip:{user}@{DOMAIN}")

    def leave(self) -> None:
        self._command(do="leave")
        self._end()

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait(10)
        if self._process.stdin:
            self._process.stdin.close()
