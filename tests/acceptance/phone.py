"""What the tests ask of a real SIP phone, whichever program it is."""

from typing import Protocol


class Phone(Protocol):
    """A phone that has registered its user when its constructor returns."""

    @property
    def received(self) -> list[str]:
        """The texts that the phone has shown, in order."""

    def send(self, user: str, text: str) -> int:
        """Send a text to a user of the domain; the status of the final response."""

    def leave(self) -> None:
        """Unregister and end."""

    def kill(self) -> None:
        """End without a word to the server, as a phone does whose battery is empty."""
