"""Where a message came from, and where an answer or a later request can go."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request, Response


class Address(NamedTuple):
    """An IP address (IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"


def bracketed(host: str) -> str:
    """An IP address or name as it stands in a URI: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class Flow(ABC):
    """One way to one peer: a UDP socket and an address, or a connection.

    `transport` is Via's word (UDP, TCP), `local` what our socket is bound to, `own` the address at which the
    peer sees us (without NAT), `sent_by` what we write in a Via over it, `connected` whether its end is
    noticed and told to the receiver.
    """

    __slots__ = ()
    transport: str
    reliable: bool
    connected: bool
    local: Address
    remote: Address
    own: Address
    sent_by: str

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send a whole message. Raises FlowClosed."""

    def __str__(self) -> str:
        return f"{self.transport.lower()}:{self.remote}"


class FlowClosed(ConnectionError):
    """The flow is gone; what was to be sent was not."""


class Receiver(Protocol):
    """Whoever takes what the sockets bring. Called from the event loop, must not raise."""

    def message_received(self, message: Request | Response, flow: Flow) -> None:
        """A whole message came."""

    def error_received(self, error: SipError, flow: Flow) -> None:
        """Something that is no good message came."""

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone, or its peer refuses our datagrams."""


Count = Callable[[str], None]
"""Adds one to a named counter."""
