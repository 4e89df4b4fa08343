"""What `send` and `listen` share: a small SIP user agent with one flow, to its next hop."""

import os
import secrets
import socket
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from sipsilo import __version__
from sipsilo.endpoint import Endpoint, Handler
from sipsilo.logs import configure_logging
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request, Response
from sipsilo.sip.uri import Uri, parse_uri
from sipsilo.transport.flow import Address, Flow, FlowClosed

Transport = Literal["udp", "tcp"]

DEFAULT_PORT = 5060
MAX_UDP_REQUEST = 1300
"""§18.1.1: bytes above which a request is sent over TCP, where the user does not say otherwise."""
ROOM_FOR_VIA = 100
"""Bytes that the Via adds, which is not there yet when the transport is chosen."""


class AgentError(Exception):
    """What went wrong, in one line for the user."""


def read_aor(text: str) -> Uri:
    """A sip URI with a user part. Raises AgentError."""
    uri = _read_uri(text)
    if uri.scheme != "sip" or uri.aor is None:
        raise AgentError(f"{text}: not a user's SIP URI such as sip:bob@example.org")
    return uri


def read_target(text: str) -> Uri:
    """Any URI that a request can be for. Raises AgentError."""
    return _read_uri(text)


def _read_uri(text: str) -> Uri:
    try:
        return parse_uri(text)
    except SipError as error:
        raise AgentError(f"{text}: not a SIP URI such as sip:bob@example.org ({error.reason})") from None


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where requests go."""

    transport: Transport
    address: Address

    def __str__(self) -> str:
        return f"{self.address} ({self.transport})"


async def find_next_hop(target: Uri, proxy: str | None, transport: Transport | None, size: int = 0) -> NextHop:
    """The proxy if there is one, else what the target's URI names; by host name and port.

    `transport` goes over the URI's parameter; a request of more than 1300 bytes `size` goes over TCP else.
    Raises AgentError.
    """
    uri = _read_uri(proxy) if proxy else target
    if uri.scheme != "sip":
        hint = "" if proxy else "; --proxy sip:HOST says where to send it"
        raise AgentError(f"{uri}: not a sip: URI{hint}")
    wanted = transport or (uri.param("transport") or "").lower()
    if wanted not in ("", "udp", "tcp"):
        raise AgentError(f"{uri}: no transport {wanted} here; accepted: udp, tcp")
    is_tcp = wanted == "tcp" or (not wanted and size + ROOM_FOR_VIA > MAX_UDP_REQUEST)
    return NextHop("tcp" if is_tcp else "udp", await _resolve(uri.host.strip("[]"), uri.port or DEFAULT_PORT))


async def _resolve(host: str, port: int) -> Address:
    try:
        found = await get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise AgentError(f"{host}: no such host ({error.strerror})") from None
    # The server's default is 127.0.0.1, and localhost is often ::1 first.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return Address(*found[0][4][:2])


def new_token() -> str:
    """For tags and Call-IDs (§19.3: at least 32 random bits)."""
    return secrets.token_hex(8)


def build_request(
    method: str,
    uri: str,
    *,
    sender: Uri,
    to: str,
    call_id: str,
    number: int = 1,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Request:
    """A request outside of any dialog (§8.1.1), without the Via, which the endpoint adds."""
    common = [
        ("Max-Forwards", "70"),
        ("From", f"<{sender}>;tag={new_token()}"),
        ("To", f"<{to}>"),
        ("Call-ID", call_id),
        ("CSeq", f"{number} {method}"),
        ("User-Agent", f"sipsilo/{__version__}"),
    ]
    return Request.build(method, uri, [*common, *headers], body)


class Agent:
    """A user agent with a flow to its next hop."""

    def __init__(self, endpoint: Endpoint, flow: Flow, hop: NextHop) -> None:
        self._endpoint = endpoint
        self.flow = flow
        self._hop = hop

    async def ask(self, request: Request) -> Response:
        """Send a request and wait for its final response. Raises AgentError when none comes."""
        response = await self._endpoint.send(request, self.flow)
        # Whoever answers adds a To tag (§8.2.6.2); the endpoint's own 408 and 503 have none.
        if response.to.tag is not None:
            return response
        if response.status == 408:
            raise _no_answer(self._hop, "silence")
        raise _no_answer(self._hop, "connection refused" if self._hop.transport == "udp" else "connection lost")


@asynccontextmanager
async def open_agent(hop: NextHop, handler: Handler) -> AsyncIterator[Agent]:
    """An agent whose incoming requests go to `handler`. Raises AgentError when nobody answers."""
    configure_logging()
    endpoint = Endpoint(handler)
    try:
        yield Agent(endpoint, await _open_flow(endpoint, hop), hop)
    finally:
        await endpoint.close()


async def _open_flow(endpoint: Endpoint, hop: NextHop) -> Flow:
    try:
        if hop.transport == "tcp":
            return await endpoint.transport.flow_to("TCP", hop.address)
        return await endpoint.transport.connected_udp(hop.address)
    except FlowClosed as error:
        raise _no_answer(hop, _cause(error.__cause__)) from None
    except OSError as error:
        raise _no_answer(hop, _cause(error)) from None


def _cause(error: BaseException | None) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return "silence"


def _no_answer(hop: NextHop, why: str) -> AgentError:
    return AgentError(f"no answer from {hop}: {why}")
