"""TCP connections: many messages on one stream, in both directions (RFC 3261 §18)."""

import asyncio
from typing import Any, NamedTuple, cast

from sipsilo.sip.errors import SipError
from sipsilo.sip.stream import Ping, StreamParser
from sipsilo.transport.flow import Address, Count, Flow, FlowClosed, Receiver

MAX_UNSENT = 1024 * 1024
"""Bytes that may wait for a peer that does not read; more, and the connection is given up."""


class Listener(NamedTuple):
    """Where peers can open connections to us: the port of a listening socket (None without), and its name."""

    port: int | None
    advertised: str | None


class StreamFlow(Flow, asyncio.Protocol):
    """One connection, accepted or opened by us."""

    transport = "TCP"
    reliable = True
    connected = True

    def __init__(self, owner: "ConnectionOwner", receiver: Receiver, count: Count, listener: Listener) -> None:
        self._owner = owner
        self._receiver = receiver
        self._count = count
        self._listener = listener
        self._parser = StreamParser()
        self._socket: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.local = self.remote = self.own = Address("", 0)
        self.sent_by = ""
        self.last_activity = self._loop.time()
        self.partial_since: float | None = None  # when the message that is not complete yet began

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it when there are too many."""
        self._socket = cast(asyncio.Transport, transport)  # uvloop's has no common base
        self.local = _address(transport.get_extra_info("sockname"))
        self.remote = _address(transport.get_extra_info("peername"))
        self.own = Address(self.local.host, self._listener.port or self.local.port)
        self.sent_by = self._listener.advertised or str(self.own)
        if not self._owner.connection_opened(self):
            self._count("connections.refused")
            self._socket.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came and pass on what is complete."""
        self.last_activity = self._loop.time()
        for event in self._parser.feed(data):
            if isinstance(event, Ping):
                self._pong()
            elif isinstance(event, SipError):
                self._receiver.error_received(event, self)
            else:
                self._receiver.message_received(event, self)
        if self._parser.broken:
            self.close()
        elif not self._parser.partial:
            self.partial_since = None
        elif self.partial_since is None:
            self.partial_since = self.last_activity

    def _pong(self) -> None:
        # RFC 5626 §4.4.1: a double CRLF is answered with one
        if self._socket is not None and not self.closed:
            self._socket.write(b"\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait for an answer over this connection."""
        self._socket = None
        self._owner.connection_closed(self)
        self._receiver.flow_closed(self)

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._socket is None or self._socket.is_closing()

    def send(self, data: bytes) -> None:
        """Queue a message for sending. Raises FlowClosed."""
        if self._socket is None or self._socket.is_closing():
            raise FlowClosed("the connection is closed")
        if self._socket.get_write_buffer_size() > MAX_UNSENT:
            self._count("connections.not_reading")
            self._socket.abort()
            raise FlowClosed("the peer does not read")
        self.last_activity = self._loop.time()
        self._socket.write(data)

    def close(self) -> None:
        """Close after what is queued has been sent."""
        if self._socket is not None:
            self._socket.close()

    def abort(self) -> None:
        """Close at once."""
        if self._socket is not None:
            self._socket.abort()


class ConnectionOwner:
    """Whoever keeps the list of connections."""

    def connection_opened(self, flow: StreamFlow) -> bool:
        """A connection is there; False refuses it."""
        raise NotImplementedError

    def connection_closed(self, flow: StreamFlow) -> None:
        """A connection is gone."""
        raise NotImplementedError


def _address(name: Any) -> Address:
    # a peer that is gone before we look has no name
    return Address(*name[:2]) if name else Address("", 0)
