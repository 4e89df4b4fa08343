"""UDP: a datagram is a message (RFC 3261 §18.3)."""

import asyncio
import socket
from functools import lru_cache
from typing import Any, cast

from sipsilo.sip.errors import SipError
from sipsilo.sip.parser import parse_message
from sipsilo.transport.flow import Address, Flow, FlowClosed, Receiver

RECEIVE_BUFFER = 4 * 1024 * 1024
"""Bytes asked of the kernel: 4,000 messages, a second of a busy server's traffic at a commit that stalls."""

_WILDCARDS = ("0.0.0.0", "::")


class UdpFlow(Flow):
    """A UDP socket of ours and a peer's address."""

    __slots__ = ("remote", "socket")
    transport = "UDP"
    reliable = False

    def __init__(self, sock: "UdpSocket", remote: Address) -> None:
        self.socket = sock
        self.remote = remote

    @property
    def local(self) -> Address:  # type: ignore[override]
        """The address that the socket is bound to."""
        return self.socket.local

    @property
    def own(self) -> Address:  # type: ignore[override]
        """The address that the peer sees."""
        local = self.socket.local
        return Address(_address_towards(self.remote), local.port) if local.host in _WILDCARDS else local

    @property
    def sent_by(self) -> str:  # type: ignore[override]
        """What we are known by to the peer."""
        return self.socket.advertised or str(self.own)

    @property
    def connected(self) -> bool:  # type: ignore[override]
        """Whether the socket belongs to this peer alone."""
        return self.socket.peer is self

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self.socket.closed

    def send(self, data: bytes) -> None:
        """Send one datagram. Raises FlowClosed."""
        self.socket.send(data, self.remote)


class UdpSocket(asyncio.DatagramProtocol):
    """A bound UDP socket that parses what comes and hands it to a receiver.

    With `connected_to` it belongs to one peer, whose ICMP refusals are reported as the end of the flow.
    """

    def __init__(self, receiver: Receiver, advertised: str | None, connected_to: Address | None = None) -> None:
        self._receiver = receiver
        self.advertised = advertised
        self.peer = None if connected_to is None else UdpFlow(self, connected_to)
        self._transport: asyncio.DatagramTransport | None = None
        self.local = Address("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket that asyncio has bound."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's has no common base
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.local = Address(*sock.getsockname()[:2])

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Parse a datagram and pass it on; CRLF keep-alives are dropped (RFC 5626 §4.4.1 is for streams)."""
        if data[:1] in b"\r\n\x00":
            data = data.lstrip(b"\r\n\x00")
            if not data:
                return
        flow = self.peer or UdpFlow(self, Address(addr[0], addr[1]))
        try:
            message = parse_message(data)
        except SipError as error:
            self._receiver.error_received(error, flow)
        else:
            self._receiver.message_received(message, flow)

    def error_received(self, exc: Exception) -> None:
        """An ICMP error: only on a connected socket is it known whose it is."""
        if self.peer is not None:
            self._receiver.flow_closed(self.peer)

    @property
    def closed(self) -> bool:
        """Whether the socket is closed."""
        return self._transport is None or self._transport.is_closing()

    def send(self, data: bytes, remote: Address) -> None:
        """Send one datagram. Raises FlowClosed."""
        if self._transport is None or self._transport.is_closing():
            raise FlowClosed("the socket is closed")
        try:
            self._transport.sendto(data, None if self.peer else remote)
        except OSError as error:
            raise FlowClosed(str(error)) from error

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()


async def open_udp(
    receiver: Receiver, local: Address, advertised: str | None = None, connected_to: Address | None = None
) -> UdpSocket:
    """Bind a UDP socket. Raises OSError."""
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(
        lambda: UdpSocket(receiver, advertised, connected_to),
        local_addr=(local.host, local.port) if connected_to is None else None,
        remote_addr=connected_to,
    )
    return protocol


@lru_cache(maxsize=4096)
def _address_towards(remote: Address) -> str:
    """The address of ours from which packets go to a peer, as the routing table has it; none is sent."""
    family = socket.AF_INET6 if ":" in remote.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(remote)
        except OSError as error:
            raise FlowClosed(f"no route to {remote}") from error
        return str(probe.getsockname()[0])
