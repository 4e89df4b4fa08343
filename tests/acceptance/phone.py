"""A real SIP phone: a program on its standard input and output."""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path


class Phone(ABC):
    """A phone that has registered its user when its constructor returns."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)

    @property
    @abstractmethod
    def received(self) -> list[str]:
        """The texts that the phone has shown, in order."""

    @abstractmethod
    def send(self, user: str, text: str) -> int:
        """Send a text to a user of the domain; the status of the final response."""

    @abstractmethod
    def leave(self) -> None:
        """Unregister and end."""

    def kill(self) -> None:
        """End without a word to the server, as a phone does whose battery is empty."""
        self._process.kill()
        self._ended()

    def _text(self) -> str:
        """What the program has written."""
        text = self._output.read_text(errors="replace")
        assert self._process.poll() in (None, 0), f"the phone has ended:\n{text}"
        return text

    def _command(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def _ended(self) -> None:
        """Wait for the end of the program."""
        self._process.wait(10)
        if self._process.stdin:
            self._process.stdin.close()
