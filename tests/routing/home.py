"""A whole server in the test's own loop, on free ports of loopback, and phones that talk to it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

from sipsilo.config import Listen, Msilo, Proxy, Registrar, Settings
from sipsilo.config import Server as ServerSettings
from sipsilo.server import Server
from sipsilo.silo.silo import Silo
from sipsilo.sip.uri import Aor
from tests.acceptance.agent import DOMAIN, Agent, Answer
from tests.acceptance.programs import LOOPBACK
from tests.acceptance.wire import Sip, parse
from tests.loop import run
from tests.storage.template import put_empty_database

RELAY_TIMEOUT = 0.3


class Home:
    """The running server: its UDP and TCP ports, its database, and its phones."""

    def __init__(self, udp: int, tcp: int, database: Path, silo: Silo) -> None:
        self.udp = udp
        self.tcp = tcp
        self.silo = silo
        self._database = database
        self._phones = AsyncExitStack()

    async def phone(self, transport: str = "udp") -> Agent:
        """A user agent; it is closed with the server."""
        port = self.udp if transport == "udp" else self.tcp
        return await self._phones.enter_async_context(await Agent.open(port, transport))

    async def wire(self) -> "Wire":
        """A UDP socket; it is closed with the server."""
        loop = asyncio.get_running_loop()
        transport, wire = await loop.create_datagram_endpoint(Wire, remote_addr=(LOOPBACK, self.udp))
        self._phones.callback(transport.close)
        return wire

    async def close(self) -> None:
        """Hang up all phones."""
        await self._phones.aclose()
        await asyncio.sleep(0)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the server's database, or change it behind its back."""
        with closing(sqlite3.connect(self._database)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    @property
    def bodies(self) -> list[str]:
        """What is stored, in order."""
        return [body.decode(errors="replace") for (body,) in self.query("SELECT body FROM silo ORDER BY mid")]

    async def bind(
        self, phone: Agent, *headers: str, user: str = "bob", contact: str = "", call_id: str = ""
    ) -> Answer:
        """Bind a contact with these further header lines, and wait for the end of the delivery that follows.

        What comes meanwhile is not relayed, but stored behind it.
        """
        lines = [f"Contact: <{contact or phone.contact(user)}>", *headers]
        answer = await phone.request("REGISTER", f"sip:{DOMAIN}", user, user, lines, call_id=call_id)
        assert answer.status == 200
        await until(lambda: not self.silo.is_delivering(Aor(user, DOMAIN)), "the end of the delivery")
        return answer

    async def until_stored(self, *bodies: str) -> None:
        """Wait until just these are stored."""
        await until(lambda: self.bodies == [*bodies], f"{bodies} stored")


class Wire(asyncio.DatagramProtocol):
    """Sends just what it is given, and keeps what comes."""

    port: int

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Sip] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._arrived.put_nowait(parse(data))

    def send(self, data: bytes) -> None:
        self._transport.sendto(data)

    async def receive(self) -> Sip:
        """The next message that came."""
        async with asyncio.timeout(5):
            return await self._arrived.get()

    async def ask(self, data: bytes) -> Sip:
        """The next message after this one was sent."""
        self.send(data)
        return await self.receive()


def request(
    method: str = "MESSAGE",
    *headers: str,
    uri: str = f"sip:bob@{DOMAIN}",
    to: str = f"<sip:bob@{DOMAIN}>",
    via: str = "SIP/2.0/UDP 127.0.0.1:9;rport",
    branch: str = "z9hG4bK-1",
    call_id: str = "1",
    hops: int = 70,
    body: bytes = b"Hi",
) -> bytes:
    """A request by hand; a MESSAGE has its Content-Type."""
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via};branch={branch}",
        f"Max-Forwards: {hops}",
        f"From: <sip:alice@{DOMAIN}>;tag=1",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        *headers,
        *(["Content-Type: text/plain"] if method == "MESSAGE" else []),
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


@asynccontextmanager
async def open_home(folder: Path, **changes: Any) -> AsyncIterator[Home]:
    """A server with some settings of [proxy], [registrar] or [msilo] changed, on the folder's database."""
    database = folder / "silo.db"
    settings = Settings(
        ServerSettings(
            listen=(Listen("udp", LOOPBACK, 0), Listen("tcp", LOOPBACK, 0)),
            domains=changes.pop("domains", (DOMAIN,)),
            stop_timeout=0.3,
        ),
        _section(Registrar, changes),
        _section(Proxy, {"relay_timeout": RELAY_TIMEOUT} | changes),
        _section(Msilo, {"db_url": f"sqlite:///{database}"} | changes),
    )
    server = Server(settings)
    try:
        udp, tcp = (int(place.rpartition(":")[2]) for place in await server.start())
        assert server._services is not None
        home = Home(udp, tcp, database, server._services.silo)
        try:
            yield home
        finally:
            await home.close()
    finally:
        await server.stop()


def _section(kind: Any, values: dict[str, Any]) -> Any:
    return kind(**{name: value for name, value in values.items() if name in kind.__dataclass_fields__})


def run_at_home(folder: Path, scenario: Callable[[Home], Coroutine[Any, Any, None]], **changes: Any) -> None:
    """Run a scenario with a server of its own."""

    async def work() -> None:
        async with open_home(folder, **changes) as home:
            await scenario(home)

    if not (folder / "silo.db").exists():
        put_empty_database(folder / "silo.db")
    run(work())


async def until(condition: Callable[[], object], what: str, within: float = 5) -> None:
    """Return as soon as the condition holds."""
    end = asyncio.get_running_loop().time() + within
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"not within {within} s: {what}"
        await asyncio.sleep(0.005)


def answering(phone: Agent, status: int, *headers: str) -> None:
    """Let a phone answer so from now on."""
    phone.on_message = lambda message: phone.reply(message, status, *headers)


def silent(phone: Agent) -> None:
    """Let a phone take everything and say nothing."""
    phone.on_message = lambda message: None


def texts(messages: list[Sip]) -> list[str]:
    """The bodies, without what tells that they are old."""
    return [message.text.rpartition("] ")[2] for message in messages]
