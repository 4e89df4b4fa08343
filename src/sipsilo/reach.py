"""How a binding is reached: over the flow that it registered on, or where its Path or Contact says."""

import asyncio
import ipaddress
import socket
from functools import lru_cache

from sipsilo.registrar.binding import Binding, Received
from sipsilo.sip.headers import parse_name_addr
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Uri
from sipsilo.transport.flow import Address, Flow, FlowClosed
from sipsilo.transport.layer import TransportLayer
from sipsilo.transport.responses import DEFAULT_PORT

MAX_UNFRAGMENTED = 1300
"""Bytes; §18.1.1: what is longer goes over a congestion-controlled transport, where the MTU is not known."""

VIA_SIZE = 120
"""Bytes that our own Via will add."""


class TooLarge(Exception):
    """The request fits no transport that the target takes."""


class Reach:
    """Finds flows to bindings and URIs."""

    def __init__(self, transport: TransportLayer, max_udp_request: int) -> None:
        self._transport = transport
        self._max_udp_request = max_udp_request

    async def flow_to_binding(self, binding: Binding, request: Request) -> Flow:
        """A flow on which a binding takes this request. Raises FlowClosed, TooLarge."""
        target = parse_name_addr(binding.path[0]).uri if binding.path else binding.uri
        if "sips" in (target.scheme, binding.uri.scheme):
            raise FlowClosed("no TLS here")  # §26.2.2: sips never goes out in clear
        flow = self._registered_flow(binding)
        if flow is None:
            flow = await self._flow_to_uri(target, binding.received)
        return await self.fitting(flow, request)

    async def flow_to_uri(self, uri: Uri, request: Request) -> Flow:
        """A flow to where a URI points, that takes this request. Raises FlowClosed, TooLarge."""
        return await self.fitting(await self._flow_to_uri(uri, None), request)

    def _registered_flow(self, binding: Binding) -> Flow | None:
        received = binding.received
        if received.transport == "UDP" and not received.natted:
            return None  # without a NAT between us the Contact is what the phone wants
        local, remote = Address(*received.local), Address(*received.remote)
        if received.transport == "UDP":
            return self._transport.udp_flow(local, remote)
        wanted = binding.uri.param("transport")
        if wanted is not None and wanted.upper() != received.transport:
            return None
        return self._transport.stream_flow(local, remote)

    async def _flow_to_uri(self, uri: Uri, received: Received | None) -> Flow:
        if uri.scheme not in ("sip", "im", "pres") or not uri.host:
            raise FlowClosed(f"no way to {uri}")
        transport = (uri.param("transport") or "udp").upper()
        failure: FlowClosed | None = None
        for address in await resolve(uri.param("maddr") or uri.host, uri.port or DEFAULT_PORT):
            if received is not None and received.transport == transport == "UDP":
                flow = self._transport.udp_flow(Address(*received.local), address)
                if flow is not None and (":" in flow.local.host) == (":" in address.host):
                    return flow
            try:
                return await self._transport.flow_to(transport, address)
            except FlowClosed as error:
                failure = error
        raise failure or FlowClosed(f"{uri.host} has no address")

    async def fitting(self, flow: Flow, request: Request) -> Flow:
        """A flow to the same peer that takes a request of this size. Raises TooLarge.

        §18.1.1 and SPEC.md chapter 4: a large request takes TCP where the peer does, else UDP as it is.
        """
        if flow.reliable:
            return flow
        size = len(request.to_bytes()) + VIA_SIZE
        if size <= MAX_UNFRAGMENTED:
            return flow
        try:
            return await self._transport.flow_to("TCP", flow.remote)
        except FlowClosed:
            if size > self._max_udp_request:
                raise TooLarge(f"{size} bytes for {flow}") from None
            return flow


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host (bracketed IPv6 too), IPv4 first. Raises FlowClosed when it has none."""
    bare = host.strip("[]")
    literal = _ip_literal(bare)
    if literal is not None:
        return [Address(literal, port)]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(bare, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that no name may have
        raise FlowClosed(f"{host}: {error}") from error
    addresses = [Address(*entry[4][:2]) for entry in found]
    return sorted(dict.fromkeys(addresses), key=lambda address: ":" in address.host)


@lru_cache(maxsize=4096)
def _ip_literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
