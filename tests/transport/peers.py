"""Who is at the other end of a flow, and who takes what comes over it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request, Response
from sipsilo.transport.flow import Address, Flow
from sipsilo.transport.layer import Limits, ListenPoint, TransportLayer

LOOPBACK = "127.0.0.1"


def message(number: int = 1, body: bytes = b"Hi", *, length: int | None = None) -> bytes:
    """A MESSAGE that can be told from others."""
    lines = [
        "MESSAGE sip:bob@example.org SIP/2.0",
        f"Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK-{number}",
        "From: <sip:alice@example.org>;tag=a",
        "To: <sip:bob@example.org>",
        f"Call-ID: {number}",
        "CSeq: 1 MESSAGE",
        f"Content-Length: {len(body) if length is None else length}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


class Taker:
    """A `Receiver` that writes down what it is given."""

    def __init__(self) -> None:
        self.messages: list[tuple[Request | Response, Flow]] = []
        self.errors: list[tuple[SipError, Flow]] = []
        self.closed: list[Flow] = []

    def message_received(self, message: Request | Response, flow: Flow) -> None:
        self.messages.append((message, flow))

    def error_received(self, error: SipError, flow: Flow) -> None:
        self.errors.append((error, flow))

    def flow_closed(self, flow: Flow) -> None:
        self.closed.append(flow)

    @property
    def numbers(self) -> list[int]:
        """Of the messages that came."""
        return [int(message.call_id) for message, _ in self.messages]

    @property
    def flow(self) -> Flow:
        """On which the last message came."""
        return self.messages[-1][1]


class Station:
    """A transport layer that listens on loopback over UDP and TCP."""

    def __init__(self, limits: Limits | None) -> None:
        self.taker = Taker()
        self.counts: Counter[str] = Counter()
        self.layer = TransportLayer(self.taker, lambda name: self.counts.update([name]), limits)
        self.udp = self.tcp = Address("", 0)

    async def listen(self, host: str = LOOPBACK, advertise: str | None = None) -> None:
        self.udp = await self.layer.listen(ListenPoint("UDP", Address(host, 0), advertise))
        self.tcp = await self.layer.listen(ListenPoint("TCP", Address(host, 0), advertise))

    async def until_received(self, count: int) -> None:
        await until(lambda: len(self.taker.messages) >= count, f"{count} messages")


@asynccontextmanager
async def open_station(limits: Limits | None = None, **how: Any) -> AsyncIterator[Station]:
    """A station that is closed at the end."""
    station = Station(limits)
    await station.listen(**how)
    try:
        yield station
    finally:
        await station.layer.close()


class Peer(asyncio.Protocol, asyncio.DatagramProtocol):
    """The other end: a plain socket."""

    def __init__(self) -> None:
        self.received = b""
        self.datagrams: list[bytes] = []
        self.gone = False
        self.address = Address("", 0)
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.address = Address(*transport.get_extra_info("sockname")[:2])

    def data_received(self, data: bytes) -> None:
        self.received += data

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.datagrams.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def write(self, data: bytes) -> None:
        self.transport.write(data)


@asynccontextmanager
async def connected(to: Address) -> AsyncIterator[Peer]:
    """A connection to an address."""
    transport, peer = await asyncio.get_running_loop().create_connection(Peer, *to)
    try:
        yield peer
    finally:
        transport.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def datagrams(to: Address | None = None, local: Address | None = None) -> AsyncIterator[Peer]:
    """A UDP socket, which sends to an address."""
    loop = asyncio.get_running_loop()
    local = local or Address("::1" if to is not None and ":" in to.host else LOOPBACK, 0)
    transport, peer = await loop.create_datagram_endpoint(Peer, local_addr=local, remote_addr=to)
    try:
        yield peer
    finally:
        transport.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(port: int = 0) -> AsyncIterator[tuple[Address, list[Peer]]]:
    """A TCP server, and its connections."""
    peers: list[Peer] = []

    def accept() -> Peer:
        peers.append(Peer())
        return peers[-1]

    server = await asyncio.get_running_loop().create_server(accept, LOOPBACK, port)
    try:
        yield Address(*server.sockets[0].getsockname()[:2]), peers
    finally:
        server.close()
        for peer in peers:
            if peer.transport is not None:
                peer.transport.abort()
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], what: str, within: float = 5) -> None:
    """Return as soon as the condition holds."""
    end = asyncio.get_running_loop().time() + within
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"not within {within} s: {what}"
        await asyncio.sleep(0.003)
