"""The transport layer of one element: its listening sockets, its connections, and flows to anywhere."""

import asyncio
from dataclasses import dataclass

from sipsilo.transport.flow import Address, Count, Flow, FlowClosed, Receiver
from sipsilo.transport.stream import ConnectionOwner, Listener, StreamFlow
from sipsilo.transport.udp import UdpFlow, UdpSocket, open_udp

PARTIAL_TIMEOUT = 30.0
"""Seconds that a message may take to come in over a stream (as long as a transaction waits, nearly)."""

CONNECT_TIMEOUT = 2.0
"""Seconds; SPEC.md chapter 4: a contact that does not take the connection in this time gets UDP."""

REFUSAL_MEMORY = 60.0
"""Seconds for which an address that took no connection is not tried again."""

MAX_REFUSALS = 10_000
"""Addresses so remembered."""

BACKLOG = 1024
"""Connections that the kernel keeps until we accept them; phones come back all at once after an outage."""


@dataclass(frozen=True)
class ListenPoint:
    """A socket to open: transport in upper case, address, and how others know it (host or host:port)."""

    transport: str
    address: Address
    advertise: str | None = None


@dataclass(frozen=True)
class Limits:
    """What connections may take: their number in all and from one address, seconds without a byte."""

    connections: int = 10_000
    connections_per_address: int = 5_000
    idle_timeout: float = 3_600.0


class TransportLayer(ConnectionOwner):
    """Owns every socket. What comes in goes to `receiver`, with the flow that it came on."""

    def __init__(self, receiver: Receiver, count: Count, limits: Limits | None = None) -> None:
        self._receiver = receiver
        self._count = count
        self._limits = limits or Limits()
        self._udp: list[UdpSocket] = []
        self._servers: list[asyncio.Server] = []
        self._connections: dict[Address, dict[Address, StreamFlow]] = {}  # by remote, then local address
        self._connection_count = 0
        self._per_host: dict[str, int] = {}
        self._connecting: dict[Address, asyncio.Task[StreamFlow]] = {}
        self._refused: dict[Address, float] = {}
        self._accepting = True
        self._listener = Listener(None, None)  # to which a peer of a connection of ours could connect back
        self._sweeper: asyncio.Task[None] | None = None

    # -- opening and closing

    async def listen(self, point: ListenPoint) -> Address:
        """Open a listening socket and give its address. Raises OSError."""
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        if point.transport == "UDP":
            sock = await open_udp(self._receiver, point.address, point.advertise)
            self._udp.append(sock)
            return sock.local
        server = await asyncio.get_running_loop().create_server(
            lambda: StreamFlow(self, self._receiver, self._count, Listener(None, point.advertise)),
            *point.address,
            backlog=BACKLOG,
        )
        self._servers.append(server)
        address = Address(*server.sockets[0].getsockname()[:2])
        if self._listener.port is None:
            self._listener = Listener(address.port, point.advertise)
        return address

    def stop_listening(self) -> None:
        """Accept no further connection; what is open stays."""
        self._accepting = False
        for server in self._servers:
            server.close()

    async def close(self) -> None:
        """Close every socket, sending first what is queued."""
        self.stop_listening()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for flow in self._flows():
            flow.close()
        for task in list(self._connecting.values()):
            task.cancel()
        for sock in self._udp:
            sock.close()
        await asyncio.sleep(0)

    # -- flows

    async def flow_to(self, transport: str, remote: Address) -> Flow:
        """A flow to an address: over UDP from the listening socket, over TCP reusing a connection.

        Raises FlowClosed when there is no socket for it or no connection can be made.
        """
        if transport == "UDP":
            return UdpFlow(self._udp_socket_for(remote), remote)
        if transport == "TCP":
            return await self._stream_to(remote)
        raise FlowClosed(f"no {transport} here")

    def udp_flow(self, local: Address, remote: Address) -> Flow | None:
        """The flow from one of our UDP sockets to a peer, as it was before a restart; None without it."""
        for sock in self._udp:
            if sock.local == local:
                return UdpFlow(sock, remote)
        return None

    def stream_flow(self, local: Address, remote: Address) -> Flow | None:
        """An open connection between two addresses."""
        flow = self._connections.get(remote, {}).get(local)
        return None if flow is None or flow.closed else flow

    async def connected_udp(self, remote: Address) -> Flow:
        """A UDP socket for one peer, which sees its ICMP refusals. Raises OSError."""
        sock = await open_udp(self._receiver, Address("", 0), None, remote)
        self._udp.append(sock)
        assert sock.peer is not None
        return sock.peer

    def _udp_socket_for(self, remote: Address) -> UdpSocket:
        for sock in self._udp:
            if (":" in sock.local.host) == (":" in remote.host):
                return sock
        raise FlowClosed(f"no UDP socket for {remote}")

    async def _stream_to(self, remote: Address) -> StreamFlow:
        for flow in self._connections.get(remote, {}).values():
            if not flow.closed:
                return flow
        if self._refused.get(remote, 0.0) > asyncio.get_running_loop().time():
            raise FlowClosed(f"{remote} took no connection")
        task = self._connecting.get(remote)
        if task is None:
            task = asyncio.create_task(self._connect(remote))
            self._connecting[remote] = task
            task.add_done_callback(lambda _: self._connecting.pop(remote, None))
        return await asyncio.shield(task)

    async def _connect(self, remote: Address) -> StreamFlow:
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(
            lambda: StreamFlow(self, self._receiver, self._count, self._listener), *remote
        )
        try:
            _, flow = await asyncio.wait_for(connecting, CONNECT_TIMEOUT)
        except OSError as error:  # a TimeoutError is one
            self._remember_refusal(remote)
            raise FlowClosed(f"{remote} took no connection") from error
        return flow

    def _remember_refusal(self, remote: Address) -> None:
        if len(self._refused) >= MAX_REFUSALS:
            self._refused.pop(next(iter(self._refused)))
        self._refused[remote] = asyncio.get_running_loop().time() + REFUSAL_MEMORY

    # -- connections

    def connection_opened(self, flow: StreamFlow) -> bool:
        """Note a connection; False when there are too many already."""
        host = flow.remote.host
        if (
            not self._accepting
            or self._connection_count >= self._limits.connections
            or self._per_host.get(host, 0) >= self._limits.connections_per_address
        ):
            return False
        self._connections.setdefault(flow.remote, {})[flow.local] = flow
        self._connection_count += 1
        self._per_host[host] = self._per_host.get(host, 0) + 1
        return True

    def connection_closed(self, flow: StreamFlow) -> None:
        """Forget a connection."""
        siblings = self._connections.get(flow.remote, {})
        if siblings.get(flow.local) is not flow:
            return
        del siblings[flow.local]
        if not siblings:
            del self._connections[flow.remote]
        self._connection_count -= 1
        host = flow.remote.host
        self._per_host[host] -= 1
        if not self._per_host[host]:
            del self._per_host[host]

    def _flows(self) -> list[StreamFlow]:
        return [flow for siblings in self._connections.values() for flow in siblings.values()]

    async def _sweep(self) -> None:
        """Close what has been silent too long, or sends a message in drops (slow loris)."""
        loop = asyncio.get_running_loop()
        idle = self._limits.idle_timeout
        period = min(5.0, idle / 2)
        while True:
            await asyncio.sleep(period)
            now = loop.time()
            for flow in self._flows():
                if flow.partial_since is not None and now - flow.partial_since > min(PARTIAL_TIMEOUT, idle):
                    self._count("connections.slow")
                    flow.abort()
                elif now - flow.last_activity > idle:
                    self._count("connections.idle")
                    flow.close()
