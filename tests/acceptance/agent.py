"""A small SIP user agent of the tests' own on asyncio, which sees each answer, retransmission and delay."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from tests.acceptance.programs import LOOPBACK
from tests.acceptance.wire import Sip, parse, split_stream

DOMAIN = "example.org"
T1 = 0.5  # seconds, RFC 3261 §17.1.1.1
T2_IN_T1 = 8
UNAVAILABLE_PAUSE = 0.05  # seconds; Retry-After is for those who have time
TIMER_F = 32.0


@dataclass(slots=True)
class Answer:
    """The final response to a request, what came before it, and after how many seconds."""

    final: Sip
    after: float
    provisional: list[tuple[float, Sip]]

    @property
    def status(self) -> int:
        return self.final.status


@dataclass(slots=True)
class _Transaction:
    """A client transaction (RFC 3261 §17.1.2)."""

    data: bytes
    done: "asyncio.Future[Answer]"
    started: float
    interval: float
    timer: asyncio.TimerHandle | None = None
    provisional: list[tuple[float, Sip]] = field(default_factory=list)


class Agent:
    """A user agent on one socket, for any number of users.

    Every MESSAGE that is no retransmission is put into `received` and given to `on_message`, which
    answers with `reply()` now or later; left as it is, it answers 200. `t1` in seconds.
    """

    def __init__(self, transport: str, t1: float) -> None:
        self.received: list[Sip] = []
        self.on_message: Callable[[Sip], None] = self._accept
        self.on_closed: Callable[[], None] = lambda: None
        self.port = 0
        self._transport_name = transport
        self._t1 = t1
        self._loop = asyncio.get_running_loop()
        self._send: Callable[[bytes], None]
        self._close: Callable[[], None]
        self._prefix = secrets.token_hex(4)
        self.user = f"user-{self._prefix}"  # a name that no other agent has
        self._numbers = itertools.count(1)
        self._pending: dict[str, _Transaction] = {}
        self._answered: dict[str, bytes] = {}

    @classmethod
    async def open(cls, server_port: int, transport: str = "udp", t1: float = T1) -> Self:
        """A user agent whose every request goes to the server at this port of loopback."""
        agent = cls(transport, t1)
        if transport == "udp":
            await agent._open_udp(server_port)
        else:
            await agent._open_tcp(server_port)
        return agent

    async def _open_udp(self, server_port: int) -> None:
        socket, _ = await self._loop.create_datagram_endpoint(lambda: _Datagrams(self._take), local_addr=(LOOPBACK, 0))
        self.port = socket.get_extra_info("sockname")[1]
        self._send = lambda data: socket.sendto(data, (LOOPBACK, server_port))
        self._close = socket.close

    async def _open_tcp(self, server_port: int) -> None:
        socket, _ = await self._loop.create_connection(
            lambda: _Stream(self._take, lambda: self.on_closed()), LOOPBACK, server_port
        )
        self.port = socket.get_extra_info("sockname")[1]
        self._send = socket.write
        self._close = socket.close

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()
        for transaction in self._pending.values():
            if transaction.timer:
                transaction.timer.cancel()
        await asyncio.sleep(0)

    @property
    def unanswered(self) -> set[str]:
        """The Call-IDs of requests that have no final response yet."""
        return {parse(transaction.data).header("call-id") for transaction in self._pending.values()}

    def contact(self, user: str) -> str:
        """A Contact URI of this agent."""
        suffix = ";transport=tcp" if self._transport_name == "tcp" else ""
        return f"sip:{user}@{LOOPBACK}:{self.port}{suffix}"

    async def message(self, user: str, text: str, *headers: str, sender: str = "alice", call_id: str = "") -> Answer:
        """Send text/plain to a user of the domain; another Content-Type line in `headers` replaces it."""
        lines = list(headers)
        if not any(line.lower().startswith("content-type:") for line in lines):
            lines.append("Content-Type: text/plain")
        uri = f"sip:{user}@{DOMAIN}"
        return await self.request("MESSAGE", uri, sender, user, lines, text.encode(), call_id)

    async def message_until_taken(self, user: str, text: str, call_id: str = "") -> Answer:
        """Send text/plain, and again as long as the server answers 503: it has not taken the message."""
        answer = await self.message(user, text, call_id=call_id)
        while answer.status == 503:
            await asyncio.sleep(UNAVAILABLE_PAUSE)
            answer = await self.message(user, text, call_id=call_id)
        return answer

    async def register(self, user: str, expires: int = 3600, contact: str = "") -> Answer:
        """Bind a contact, by default this agent's own, or with `expires` 0 take it away."""
        lines = [f"Contact: <{contact or self.contact(user)}>", f"Expires: {expires}"]
        # Refreshes of one binding share a Call-ID and count CSeq up (§10.2.4).
        call_id = f"{self._prefix}-{user}"
        return await self.request("REGISTER", f"sip:{DOMAIN}", user, user, lines, call_id=call_id)

    async def request(
        self,
        method: str,
        uri: str,
        sender: str,
        user: str,
        headers: Iterable[str] = (),
        body: bytes = b"",
        call_id: str = "",
    ) -> Answer:
        """Send one request and wait for its final response; raises TimeoutError after Timer F."""
        number = next(self._numbers)
        branch = f"z9hG4bK{self._prefix}{number}"
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self._transport_name.upper()} {LOOPBACK}:{self.port};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{sender}@{DOMAIN}>;tag={self._prefix}",
            f"To: <sip:{user}@{DOMAIN}>",
            f"Call-ID: {call_id or f'{self._prefix}-{number}'}",
            f"CSeq: {number} {method}",
            *headers,
            f"Content-Length: {len(body)}",
            "",
            "",
        ]
        data = "\r\n".join(lines).encode() + body
        transaction = _Transaction(data, self._loop.create_future(), self._loop.time(), self._t1)
        self._pending[branch] = transaction
        try:
            self._send(data)
            self._arm(transaction)
            async with asyncio.timeout(TIMER_F):
                return await transaction.done
        finally:
            del self._pending[branch]
            if transaction.timer:
                transaction.timer.cancel()

    def _arm(self, transaction: _Transaction) -> None:
        """Timer E: over UDP the request is sent again (§17.1.2.2)."""
        if self._transport_name == "udp":
            transaction.timer = self._loop.call_later(transaction.interval, self._retransmit, transaction)

    def _retransmit(self, transaction: _Transaction) -> None:
        self._send(transaction.data)
        longest = T2_IN_T1 * self._t1
        transaction.interval = longest if transaction.provisional else min(2 * transaction.interval, longest)
        self._arm(transaction)

    def _take(self, message: Sip) -> None:
        if not message.status:
            self._take_request(message)
            return
        transaction = self._pending.get(message.branch)
        if transaction is None or transaction.done.done():
            return
        after = self._loop.time() - transaction.started
        if message.status < 200:
            transaction.provisional.append((after, message))
        else:
            transaction.done.set_result(Answer(message, after, transaction.provisional))

    def _take_request(self, request: Sip) -> None:
        branch = request.branch
        if branch in self._answered:
            if self._answered[branch]:
                self._send(self._answered[branch])
            return
        self._answered[branch] = b""
        self.received.append(request)
        self.on_message(request)

    def reply(self, request: Sip, status: int, *headers: str) -> None:
        """Answer a request; a retransmission of it will get the same answer."""
        data = request.answer(status, self._prefix, *headers)
        self._answered[request.branch] = data
        self._send(data)

    def _accept(self, request: Sip) -> None:
        self.reply(request, 200)

    async def until(self, condition: Callable[[], object], what: str, within: float = 10) -> None:
        """Return as soon as the condition holds; raise AssertionError after `within` seconds."""
        end = self._loop.time() + within
        while not condition():
            assert self._loop.time() < end, f"not within {within} s: {what}"
            await asyncio.sleep(0.005)

    async def until_received(self, count: int, within: float = 10) -> None:
        """Wait for the count-th MESSAGE."""
        await self.until(lambda: len(self.received) >= count, f"{count} MESSAGEs received", within)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[Sip], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._take(parse(data))


class _Stream(asyncio.Protocol):
    def __init__(self, take: Callable[[Sip], None], closed: Callable[[], None]) -> None:
        self._take = take
        self._closed = closed
        self._buffer = bytearray()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for message in split_stream(self._buffer):
            self._take(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed()


@asynccontextmanager
async def two_agents(server_port: int, transport: str = "udp", t1: float = T1) -> AsyncIterator[tuple[Agent, Agent]]:
    """One user agent that sends and one that receives."""
    async with (
        await Agent.open(server_port, transport, t1) as sender,
        await Agent.open(server_port, transport, t1) as receiver,
    ):
        yield sender, receiver


async def closed_loop(jobs: Iterable[Callable[[], Awaitable[object]]], window: int) -> None:
    """Run the jobs in order, at most `window` at a time; each begins when another has ended."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    async with asyncio.TaskGroup() as group:
        for _ in range(window):
            group.create_task(work())
