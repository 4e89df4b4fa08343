"""baresip without sound, on its standard input and output."""

import re
from pathlib import Path

from tests.acceptance.agent import DOMAIN
from tests.acceptance.phone import Phone
from tests.acceptance.programs import LOOPBACK, find_program, wait_until

# A message in the output of `-s`: who sent it to whom, and the message itself.
_TRACE = re.compile(r"\x1b\[36;1m#\n\w+ \S+:(\d+) -> \S+\n(.*?)\x1b\[;m", re.S)
_SHOWN = re.compile(r'^\r?sip:\S+: "(.*)"\s*$', re.M)
_ANSWER = re.compile(r"SIP/2\.0 ([2-6]\d\d) .*?^CSeq: \d+ MESSAGE", re.S | re.M)


class Baresip(Phone):
    """One baresip; `peer` is the one user of the domain that it can write to."""

    def __init__(self, folder: Path, user: str, server_port: int, transport: str, peer: str) -> None:
        program = find_program("baresip", "baresip-core")
        settings = folder / "baresip"
        settings.mkdir(parents=True)
        (settings / "config").write_text(
            f"sip_listen {LOOPBACK}:0\n"
            f"net_interface {LOOPBACK}\n"
            f"module_path {Path(program).parent.parent / 'lib/baresip/modules'}\n"
            "module stdio.so\n"
            "module_app account.so\n"
            "module_app contact.so\n"
            "module_app menu.so\n"
        )
        proxy = f"sip:{LOOPBACK}:{server_port};transport={transport}"
        (settings / "accounts").write_text(
            f'<sip:{user}@{DOMAIN};transport={transport}>;regint=600;outbound="{proxy}"\n'
        )
        (settings / "contacts").write_text(f'"{peer}" <sip:{peer}@{DOMAIN}>\n')
        self._server_port = server_port
        self._peer = peer
        super().__init__(folder, [program, "-f", str(settings), "-s"])
        wait_until(lambda: "registered successfully" in self._text(), "baresip's registration")

    @property
    def received(self) -> list[str]:
        return _SHOWN.findall(_TRACE.sub("", self._text()))

    def _answers(self) -> list[int]:
        """The final responses to our MESSAGEs; those that baresip itself sent are from another port."""
        messages = [text for port, text in _TRACE.findall(self._text()) if int(port) == self._server_port]
        matches = [_ANSWER.match(text) for text in messages]
        return [int(match[1]) for match in matches if match]

    def send(self, user: str, text: str) -> int:
        assert user == self._peer
        before = len(self._answers())
        self._command(f"/message {text}")
        wait_until(lambda: len(self._answers()) > before, "an answer to baresip's MESSAGE")
        return self._answers()[before]

    def leave(self) -> None:
        self._command("/quit")
        self._ended()
