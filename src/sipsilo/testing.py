"""For tests of routing scripts: a whole server in memory, and phones that talk to it, without sockets.

Everything is real but the network and the clock of the transactions, which runs fifty times as fast, so that a
silent phone is given up in less than a second.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path

from sipsilo.config import Msilo, Proxy, Settings
from sipsilo.config import Server as ServerSettings
from sipsilo.endpoint import Endpoint
from sipsilo.routing.script import Script
from sipsilo.server import Server
from sipsilo.sip.message import Request, Response
from sipsilo.sip.parser import parse_message
from sipsilo.sip.uri import parse_uri
from sipsilo.transaction.timers import TimerValues
from sipsilo.transport.flow import Address, Count, Flow, FlowClosed, Receiver
from sipsilo.transport.layer import TransportLayer

T1 = 0.01
"""Seconds; RFC 3261 §17.1.1.1 has 0.5. All timers of the transactions follow it."""

RELAY_TIMEOUT = 0.2
"""Seconds after which a silent phone counts as absent, unless the settings say otherwise."""

PATIENCE = 10.0
"""Seconds after which a test is told that something does not come."""

_SERVER = Address("192.0.2.1", 5060)
_FIRST_PORT = 20_000


class TestServer(Server):
    """A server in memory, for `async with`. Its database is a temporary file.

    `settings` are used but for server.listen and msilo.db_url; without them it serves example.org, gives a phone
    RELAY_TIMEOUT to answer, and adds no date to what was stored.
    """

    __test__ = False  # for pytest: this is no test

    def __init__(self, script: Script | None = None, settings: Settings | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sipsilo-")
        self._file = Path(self._folder.name) / "silo.db"
        super().__init__(_in_memory(settings or _usual_settings(), self._file), script)
        self._ports = count(_FIRST_PORT)
        self._users: set[str] = set()
        self._network: _Network | None = None

    def _open_endpoint(self) -> Endpoint:
        endpoint = Endpoint(timers=TimerValues(T1, 8 * T1, 10 * T1))
        endpoint.transport = self._network = _Network(endpoint, endpoint.counters.add)
        return endpoint

    async def stop(self) -> dict[str, int]:
        """Stop the server and take its database away."""
        counts = await super().stop()
        self._folder.cleanup()
        return counts

    def phone(self, aor: str, address: str = "") -> "Phone":
        """A phone of this user, not registered; `address`, as in `192.0.2.5:5060`, for one that a URI names."""
        assert self._network is not None, "the server is not started"
        host, _, port = address.partition(":")
        remote = Address(host, int(port or 5060)) if address else self.free_address()
        self._users.add(aor)
        return Phone(self, self._network, aor, remote)

    def free_address(self) -> Address:
        """An address that no phone has yet."""
        return Address("127.0.0.1", next(self._ports))

    async def register(self, aor: str, *headers: tuple[str, str]) -> "Phone":
        """A phone that has registered for this user, after what was stored for them has come."""
        phone = self.phone(aor)
        answer = await phone.register(*headers)
        assert answer.status == 200, f"{answer.status} {answer.reason} to the REGISTER of {aor}"
        return phone

    async def send(self, sender: str, recipient: str, text: str, *headers: tuple[str, str]) -> Response:
        """Send a text/plain MESSAGE; the final response."""
        return await self.phone(sender).send(recipient, text, *headers)

    def stored(self, owner: str = "") -> list[str]:
        """The bodies of what is stored, or of what is stored for one user, oldest first."""
        aor = parse_uri(owner).aor if owner else None
        with closing(sqlite3.connect(self._file)) as connection:
            rows = connection.execute("SELECT username, domain, body FROM silo ORDER BY mid").fetchall()
        return [str(body, "utf-8", "replace") for user, host, body in rows if aor in (None, (user, host))]

    async def settled(self) -> None:
        """Wait for the end of the deliveries under way."""
        assert self._services is not None, "the server is not started"
        silo = self._services.silo
        owners = [aor for aor in (parse_uri(user).aor for user in self._users) if aor is not None]
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(T1)
            while any(silo.is_delivering(owner) for owner in owners):  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(T1 / 5)


class Phone:
    """A user agent. `requests` is what has come, `messages` the texts of the MESSAGEs that it has taken.

    `answer` is the status that it gives to a request, None for silence.
    """

    def __init__(self, server: TestServer, network: "_Network", aor: str, remote: Address) -> None:
        self.aor = aor
        self.answer: int | None = 200
        self.requests: list[Request] = []
        self.messages: list[str] = []
        self.contact = f"sip:{parse_uri(aor).user}@{remote};transport=tcp"
        self._call_id = f"register-{remote.port}"  # one for all of a contact's REGISTERs (§10.2.4)
        self._server = server
        self._network = network
        self._remote = remote
        self._flow = network.connect(remote, self._take)
        self._numbers = count(1)
        self._pending: dict[str, asyncio.Future[Response]] = {}

    async def register(self, *headers: tuple[str, str], expires: int = 3600) -> Response:
        """Register, or refresh; wait for the end of the delivery that follows. The final response."""
        if self._flow.closed:
            self._remote = self._server.free_address()
            self._flow = self._network.connect(self._remote, self._take)
        lines = [("Contact", f"<{self.contact}>"), ("Expires", str(expires)), *headers]
        answer = await self.request(
            "REGISTER", f"sip:{parse_uri(self.aor).host}", self.aor, lines, call_id=self._call_id
        )
        await self._server.settled()
        return answer

    async def unregister(self) -> Response:
        """Take the registration away; the final response."""
        return await self.register(expires=0)

    def disconnect(self) -> None:
        """Be gone without a word; `register` comes back."""
        self._flow.end()

    async def send(self, recipient: str, text: str, *headers: tuple[str, str]) -> Response:
        """Send a text/plain MESSAGE; the final response."""
        self._server._users.add(recipient)
        return await self.request(
            "MESSAGE", recipient, recipient, [("Content-Type", "text/plain"), *headers], text.encode()
        )

    async def request(
        self,
        method: str,
        uri: str,
        to: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        call_id: str | None = None,
        hops: int = 70,
    ) -> Response:
        """Send any request; the final response. Raises TimeoutError when none comes."""
        number = next(self._numbers)
        branch = f"z9hG4bK-{self._remote.port}-{number}"
        head = [
            ("Via", f"SIP/2.0/TCP {self._remote};branch={branch}"),
            ("Max-Forwards", str(hops)),
            ("From", f"<{self.aor}>;tag={self._remote.port}"),
            ("To", f"<{to}>"),
            ("Call-ID", call_id or f"{number}@{self._remote}"),
            ("CSeq", f"{number} {method}"),
        ]
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._pending[branch] = answer
        self._flow.arrive(Request.build(method, uri, [*head, *headers], body).to_bytes())
        try:
            async with asyncio.timeout(PATIENCE):
                return await answer
        finally:
            del self._pending[branch]

    def _take(self, data: bytes) -> None:
        message = parse_message(data)
        if isinstance(message, Response):
            waiting = self._pending.get(message.via.branch or "")
            if waiting is not None and not waiting.done() and message.status >= 200:
                waiting.set_result(message)
            return
        self.requests.append(message)
        if self.answer is not None:
            self.reply(message, self.answer)

    def reply(self, request: Request, status: int) -> None:
        """Answer one of `requests` that has been met with silence."""
        if request.method == "MESSAGE" and status < 300:
            self.messages.append(request.body.decode(errors="replace"))
        self._flow.arrive(request.response(status, to_tag=f"{self._remote.port}").to_bytes())


class _Network(TransportLayer):
    """Flows to phones by their addresses, in place of sockets."""

    def __init__(self, receiver: Receiver, counted: Count) -> None:
        super().__init__(receiver, counted)
        self._endpoint = receiver
        self._flows_to: dict[Address, _MemoryFlow] = {}

    def connect(self, remote: Address, take: "_Take") -> "_MemoryFlow":
        """A connection to a phone."""
        flow = self._flows_to[remote] = _MemoryFlow(remote, take, self._endpoint)
        return flow

    def stream_flow(self, local: Address, remote: Address) -> Flow | None:
        flow = self._flows_to.get(remote)
        return None if flow is None or flow.closed else flow

    async def flow_to(self, transport: str, remote: Address) -> Flow:
        flow = self.stream_flow(_SERVER, remote)
        if flow is None:
            raise FlowClosed(f"nobody is at {remote}")
        return flow


_Take = Callable[[bytes], None]


class _MemoryFlow(Flow):
    """The server's end of a connection to a phone. What is sent arrives in the next turn of the loop."""

    transport = "TCP"
    reliable = True
    connected = True
    local = own = _SERVER
    sent_by = str(_SERVER)

    def __init__(self, remote: Address, take: _Take, receiver: Receiver) -> None:
        self.remote = remote
        self._take = take
        self._receiver = receiver
        self._ended = False

    @property
    def closed(self) -> bool:
        return self._ended

    def send(self, data: bytes) -> None:
        if self._ended:
            raise FlowClosed("the phone is gone")
        asyncio.get_running_loop().call_soon(self._take, data)

    def arrive(self, data: bytes) -> None:
        """Bring the server a message from the phone."""
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._receiver.message_received, parse_message(data), self)

    def end(self) -> None:
        """Close the connection from the phone's end."""
        self._ended = True
        self._receiver.flow_closed(self)


def _usual_settings() -> Settings:
    return Settings(
        server=ServerSettings(domains=("example.org",), stop_timeout=RELAY_TIMEOUT),
        proxy=Proxy(relay_timeout=RELAY_TIMEOUT),
        msilo=Msilo(add_date=False),
    )


def _in_memory(settings: Settings, file: Path) -> Settings:
    return replace(
        settings,
        server=replace(settings.server, listen=()),
        msilo=replace(settings.msilo, db_url=f"sqlite:///{file}"),
    )
