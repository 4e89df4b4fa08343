"""What the parameters do, each shown over real sockets (docs/parameters.md names the test of each)."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.acceptance.agent import DOMAIN, Agent
from tests.acceptance.conftest import SERVERS, StartServer
from tests.acceptance.database import Database
from tests.acceptance.programs import LOOPBACK, wait_until
from tests.acceptance.server import Server
from tests.acceptance.wire import Sip, parse, split_stream

REGISTRAR = f"sip:registrar@{DOMAIN}"
REMINDER = f"sip:reminder@{DOMAIN}"
NOTICE = {
    "from_address": "sip:$rU@" + DOMAIN,
    "offline_message": "*** User $rU is offline!",
    "content_type_hdr": "Content-Type: text/plain;charset=utf-8\r\n",
    "contact_hdr": "Contact: <sip:null@example.com>\r\n",
}

Scenario = Callable[["House"], Awaitable[None]]


class House:
    """A running server, and phones that are hung up at the end."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.phones: list[Agent] = []

    async def __aenter__(self) -> "House":
        return self

    async def __aexit__(self, *_: object) -> None:
        for phone in self.phones:
            await phone.__aexit__()

    async def phone(self, transport: str = "udp") -> Agent:
        """A user agent."""
        self.phones.append(await Agent.open(self.server.port, transport))
        return self.phones[-1]

    async def store(self, *bodies: str, headers: tuple[str, ...] = (), status: int = 202) -> None:
        """Alice writes to Bob, who is away."""
        alice = await self.phone()
        for body in bodies:
            assert (await alice.message("bob", body, *headers)).status == status

    async def delivered(self, count: int = 1) -> list[Sip]:
        """Bob registers; what he is sent, which is all that there is."""
        bob = await self.phone()
        assert (await bob.register("bob")).status == 200
        await bob.until_received(count)
        await asyncio.sleep(0.05)
        assert len(bob.received) == count
        return bob.received


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server; `script` are the lines of its request route for a MESSAGE, the others are tables."""
    servers: list[Server] = []

    def start_one(
        script: str = "",
        server: dict[str, object] | None = None,
        registrar: dict[str, object] | None = None,
        **msilo: object,
    ) -> Server:
        folder = tmp_path / f"server{len(servers)}"
        folder.mkdir()
        running = Server(folder, {"msilo": msilo, "server": server or {}, "registrar": registrar or {}})
        servers.append(running)
        if script:
            file = folder / "routes.py"
            file.write_text(_SCRIPT.format(lines=script.replace("\n", "\n        ")))
            running.arguments = ["--script", str(file)]
        running.start()
        return running

    yield start_one
    for running in servers:
        running.close()
        print(running.log)  # noqa: T201  pytest shows it when the test has failed


_SCRIPT = """
from sipsilo.routing import Request, Script

script = Script()


@script.request_route
async def main(request: Request) -> None:
    if request.method == "REGISTER":
        if await request.save():
            await request.m_dump()
    else:
        {lines}
        stored = await request.m_store()
        await request.reply(stored.status, stored.reason, stored.headers)
"""


def run(server: Server, scenario: Scenario) -> None:
    """Run a scenario in a house of its own."""

    async def work() -> None:
        async with House(server) as house:
            await scenario(house)

    asyncio.run(work())


# -- notices


async def notice(phone: Agent) -> Sip:
    """The one notice that a phone has got."""
    await phone.until_received(1, 3)
    await asyncio.sleep(0.05)
    (got,) = phone.received
    return got


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_notice_tells_the_sender(start: Callable[..., Server], transport: str) -> None:
    """from_address, offline_message, content_type_hdr, contact_hdr, and use_contact as it is by default."""

    async def scenario(house: House) -> None:
        alice = await house.phone(transport)
        assert (await alice.message("bob", "Hi", f"Contact: <{alice.contact('alice')}>")).status == 202
        got = await notice(alice)
        assert got.start == f"MESSAGE {alice.contact('alice')} SIP/2.0"
        assert got.text == "*** User bob is offline!"
        assert got.header("from").startswith(f"<sip:bob@{DOMAIN}>;tag=")
        assert got.header("to") == f"<sip:alice@{DOMAIN}>"
        assert got.header("contact") == "<sip:null@example.com>"
        assert got.header("content-type") == "text/plain;charset=utf-8"
        assert house.server.bodies() == ["Hi"]

    run(start(**NOTICE), scenario)


@pytest.mark.parametrize("missing", ["from_address", "offline_message"])
def test_no_notice_without_address_and_text(start: Callable[..., Server], missing: str) -> None:
    async def scenario(house: House) -> None:
        alice = await house.phone()
        assert (await alice.message("bob", "Hi", f"Contact: <{alice.contact('alice')}>")).status == 202
        await asyncio.sleep(0.2)
        assert alice.received == []

    run(start(**{name: value for name, value in NOTICE.items() if name != missing}), scenario)


@pytest.mark.parametrize("use_contact", [0, 1])
def test_use_contact_says_where_the_notice_goes(start: Callable[..., Server], use_contact: int) -> None:
    async def scenario(house: House) -> None:
        desk, mobile = await house.phone(), await house.phone()
        assert (await desk.register("alice")).status == 200
        assert (await mobile.message("bob", "Hi", f"Contact: <{mobile.contact('alice')}>")).status == 202
        there, elsewhere = (mobile, desk) if use_contact else (desk, mobile)
        assert (await notice(there)).text == "*** User bob is offline!"
        assert elsewhere.received == []

    run(start(use_contact=use_contact, **NOTICE), scenario)


@pytest.mark.parametrize(("interval", "expected"), [(60, 1), (0, 3)])
def test_notice_interval_is_kept(start: Callable[..., Server], interval: int, expected: int) -> None:
    async def scenario(house: House) -> None:
        alice = await house.phone()
        for _ in range(3):
            assert (await alice.message("bob", "Hi", f"Contact: <{alice.contact('alice')}>")).status == 202
        await alice.until_received(expected, 3)
        await asyncio.sleep(0.2)
        assert len(alice.received) == expected

    run(start(notice_interval=interval, **NOTICE), scenario)


@pytest.mark.parametrize("flag", [18, "QUIET"])
def test_flag_skips_the_notice(start: Callable[..., Server], flag: int | str) -> None:
    script = f"if request.header('Subject') == 'quiet':\n    request.set_flag({flag!r})"

    async def scenario(house: House) -> None:
        alice = await house.phone()
        contact = f"Contact: <{alice.contact('alice')}>"
        assert (await alice.message("bob", "Hi", contact, "Subject: quiet")).status == 202
        await asyncio.sleep(0.2)
        assert alice.received == []
        assert (await alice.message("bob", "Hi", contact)).status == 202
        await notice(alice)

    run(start(script, skip_notification_flag=flag, **NOTICE), scenario)


def test_notices_make_no_loops(start: Callable[..., Server]) -> None:
    """kamailio#61: two servers, each of which keeps messages for the address that the other's notices come from."""

    async def scenario(house: House) -> None:
        alice = await house.phone()
        # the notice goes to the server itself, as if Alice's phone were there
        assert (await alice.message("bob", "Hi", f"Contact: <sip:alice@{LOOPBACK}:{house.server.port}>")).status == 202
        await asyncio.sleep(0.5)
        assert house.server.bodies() == ["Hi"]

    server = start(notice_interval=0, **NOTICE | {"from_address": REGISTRAR})
    run(server, scenario)
    assert server.stop()["notices.failed"] == 1


# -- reminders


@pytest.mark.parametrize("spelling", ["%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%SZ"])
def test_reminder_comes_at_its_second(start: Callable[..., Server], spelling: str) -> None:
    """reminder, send_time, snd_time_avp; [server] timezone, where the value names none."""
    script = "request.avp['when'] = request.header('X-When')"

    async def scenario(house: House) -> None:
        bob = await house.phone()
        assert (await bob.register("bob")).status == 200
        due = int(time.time()) + 3
        when = time.strftime(spelling, time.gmtime(due))
        came = time.time()
        await house.store("lunch", headers=(f"X-When: {when}",))
        assert house.server.bodies() == ["lunch"]
        await bob.until_received(1)
        assert due <= time.time() < due + 0.5
        (got,) = bob.received
        assert got.header("from").startswith(f"<{REMINDER}>;tag=")
        assert got.header("to") == f"<sip:bob@{DOMAIN}>"
        texts = [f"[Reminder message - {time.asctime(time.gmtime(came + late))}] lunch" for late in (0, 1)]
        assert got.text in texts
        await asyncio.to_thread(house.server.wait_empty)

    server = start(script, {"timezone": "UTC"}, reminder=REMINDER, send_time=60, snd_time_avp="$avp(when)")
    run(server, scenario)
    counts = server.stop()
    assert (counts["dumped_reminders"], counts["dumped_messages"]) == (1, 0)


def test_bad_time_of_a_reminder_is_told(start: Callable[..., Server]) -> None:
    script = "request['$avp(when)'] = 'tomorrow'"

    async def scenario(house: House) -> None:
        await house.store("lunch", status=400)
        assert house.server.bodies() == []
        assert "Bad Send Time: 'tomorrow' is no time such as" in house.server.log

    run(start(script, reminder=REMINDER, send_time=60, snd_time_avp="when"), scenario)


@pytest.mark.parametrize("settings", [{"send_time": 60}, {"reminder": REMINDER}])
def test_reminders_need_an_address_and_send_time(start: Callable[..., Server], settings: dict[str, object]) -> None:
    script = "request['$avp(when)'] = '20990101000000'"

    async def scenario(house: House) -> None:
        await house.store("lunch", status=480)
        assert house.server.bodies() == []

    run(start(script, snd_time_avp="when", **settings), scenario)


def test_reminder_of_another_program_comes_within_send_time(start: Callable[..., Server]) -> None:
    server = start(reminder=REMINDER, send_time=1, check_time=3600)

    async def scenario(house: House) -> None:
        bob = await house.phone()
        assert (await bob.register("bob")).status == 200
        now = int(time.time())
        row = ("bob", DOMAIN, REGISTRAR, f"sip:bob@{DOMAIN}", now, now + 3600, now + 2, "text/plain", b"lunch")
        with sqlite3.connect(server.database._file, timeout=10) as connection:  # type: ignore[attr-defined]
            connection.execute(
                "INSERT INTO silo (username, domain, src_addr, dst_addr, inc_time, exp_time, snd_time, ctype, body)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                row,
            )
        await bob.until_received(1, 5)
        assert now + 2 <= time.time() < now + 2 + 1 + 0.5  # send_time, and a busy machine
        assert bob.received[0].text.endswith("] lunch")

    run(server, scenario)


# -- how long and how many


def test_expired_message_is_not_delivered_and_purged(start: Callable[..., Server]) -> None:
    """expire_time, check_time, clean_period."""
    server = start(expire_time=1, check_time=1, clean_period=3)
    began = time.monotonic()

    async def scenario(house: House) -> None:
        await house.store("one")
        await asyncio.sleep(1.3)
        await house.delivered(0)
        assert house.server.bodies() == ["one"]

    run(server, scenario)
    wait_until(lambda: not server.stored(), "the purge", 5)
    assert time.monotonic() - began > 2


def test_message_is_retried_at_check_time(start: Callable[..., Server]) -> None:
    """What another program has put off is noticed in the next look."""
    server = start(check_time=1)

    async def scenario(house: House) -> None:
        bob = await house.phone()
        bob.on_message = lambda message: bob.reply(message, 480)
        await house.store("one")
        assert (await bob.register("bob")).status == 200
        await bob.until_received(1)
        await bob.until(lambda: server.query("SELECT attempts FROM silo") == [(1,)], "the end of the attempt")
        bob.on_message = lambda message: bob.reply(message, 200)
        with sqlite3.connect(server.database._file, timeout=10) as connection:  # type: ignore[attr-defined]
            connection.execute("UPDATE silo SET next_try=1")
        await bob.until_received(2, 3)
        await asyncio.to_thread(server.wait_empty)

    run(server, scenario)


def test_max_messages_are_kept_for_one_owner(start: Callable[..., Server]) -> None:
    async def scenario(house: House) -> None:
        await house.store("one", "two")
        await house.store("three", status=480)
        assert (await (await house.phone()).message("carol", "hers")).status == 202
        assert house.server.bodies("bob") == ["one", "two"]
        bob = await house.phone()
        assert (await bob.register("bob")).status == 200
        await bob.until_received(2)
        await asyncio.to_thread(house.server.wait_empty, "bob")
        assert (await bob.register("bob", expires=0)).status == 200
        await house.store("four")

    run(start(max_messages=2), scenario)


# -- how it looks


@pytest.mark.parametrize(("add_date", "zone"), [(0, "UTC"), (1, "Asia/Tokyo")])
def test_add_date(start: Callable[..., Server], add_date: int, zone: str) -> None:
    """add_date, and [server] timezone."""

    async def scenario(house: House) -> None:
        came = time.time()
        await house.store("one")
        (got,) = await house.delivered()
        dates = [time.asctime(time.gmtime(came + 9 * 3600 + late)) for late in (0, 1)]
        assert got.text in ([f"[Offline message - {date}] one" for date in dates] if add_date else ["one"])

    run(start(server={"timezone": zone}, add_date=add_date), scenario)


def test_extra_hdrs_are_in_all_that_we_send(start: Callable[..., Server]) -> None:
    async def scenario(house: House) -> None:
        alice = await house.phone()
        assert (await alice.message("bob", "Hi", f"Contact: <{alice.contact('alice')}>")).status == 202
        assert (await notice(alice)).all("x-for") == [f"sip:alice@{DOMAIN}"]
        (got,) = await house.delivered()
        assert (got.all("x-for"), got.all("y-extra")) == ([f"sip:bob@{DOMAIN}"], ["foo"])

    run(start(extra_hdrs="X-For: $tu\r\nY-Extra: foo\r\n", **NOTICE), scenario)


def test_extra_hdrs_avp_is_kept_with_the_message(start: Callable[..., Server]) -> None:
    script = r"request['$avp(lines)'] = 'X-One: 1\r\nX-Two: 2\r\n'"

    async def scenario(house: House) -> None:
        await house.store("one", headers=("X-Own: 0",))
        assert house.server.query("SELECT extra_hdrs FROM silo") == [(b"X-Own: 0\r\nX-One: 1\r\nX-Two: 2\r\n",)]
        (got,) = await house.delivered()
        assert [got.header(name) for name in ("x-own", "x-one", "x-two")] == ["0", "1", "2"]

    run(start(script, extra_hdrs_avp="$avp(lines)"), scenario)


@pytest.mark.parametrize("add_contact", [0, 1])
def test_add_contact(start: Callable[..., Server], add_contact: int) -> None:
    async def scenario(house: House) -> None:
        await house.store("one")
        (got,) = await house.delivered()
        assert got.all("contact") == [f"<sip:alice@{DOMAIN}>;msilo=yes"] * add_contact

    run(start(add_contact=add_contact), scenario)


@pytest.mark.parametrize("use_mode", [0, 1])
def test_use_mode(start: Callable[..., Server], use_mode: int) -> None:
    """1: the Call-ID is the sender's, and a message that comes back is known all the same."""

    async def scenario(house: House) -> None:
        alice, bob = await house.phone(), await house.phone()
        assert (await alice.message("bob", "one", call_id="from-alice")).status == 202
        assert (await bob.register("bob")).status == 200
        await bob.until_received(1)
        (got,) = bob.received
        assert (got.header("call-id") == "from-alice") is bool(use_mode)
        lines = [
            f"MESSAGE sip:carol@{DOMAIN} SIP/2.0",
            f"Via: SIP/2.0/UDP {LOOPBACK}:{bob.port};branch=z9hG4bK-back;rport",
            f"From: {got.header('from')}",
            f"To: {got.header('to')}",
            f"Call-ID: {got.header('call-id')}",
            f"CSeq: {got.header('cseq')}",
            "Max-Forwards: 70",
            "Content-Length: 0",
            "",
            "",
        ]
        assert (await _ask(house.server.port, "\r\n".join(lines))).startswith("SIP/2.0 480 ")
        assert house.server.stored("carol") == 0

    run(start(use_mode=use_mode), scenario)


async def _ask(port: int, text: str) -> str:
    """What the server answers to a datagram."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class Socket(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            answer.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Socket, remote_addr=(LOOPBACK, port))
    transport.sendto(text.encode())
    try:
        async with asyncio.timeout(3):
            return (await answer).decode()
    finally:
        transport.close()


# -- where it goes


class NextHop(asyncio.DatagramProtocol, asyncio.Protocol):
    """A proxy that takes all that comes, over UDP or one TCP connection."""

    def __init__(self) -> None:
        self.received: list[Sip] = []
        self.status = 200
        self._buffer = bytearray()
        self._transport: asyncio.BaseTransport | None = None

    @asynccontextmanager
    async def open(self, transport: str) -> AsyncIterator[int]:
        """Listen; the port."""
        loop = asyncio.get_running_loop()
        socket: asyncio.BaseTransport | asyncio.Server
        if transport == "udp":
            socket, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(LOOPBACK, 0))
            port = socket.get_extra_info("sockname")[1]
        else:
            socket = await loop.create_server(lambda: self, LOOPBACK, 0)
            port = socket.sockets[0].getsockname()[1]
        try:
            yield port
        finally:
            socket.close()
            if self._transport is not None:
                self._transport.close()
            await asyncio.sleep(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._transport.sendto(self._answer(parse(data)), addr)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        for message in split_stream(self._buffer):
            self._transport.write(self._answer(message))  # type: ignore[attr-defined]

    def _answer(self, message: Sip) -> bytes:
        self.received.append(message)
        return message.answer(self.status, "proxy")

    async def until_received(self, count: int) -> None:
        """Wait for the count-th request."""
        async with asyncio.timeout(5):
            while len(self.received) < count:  # noqa: ASYNC110  there is no event for it
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_outbound_proxy_gets_all_that_we_send(start: Callable[..., Server], transport: str) -> None:
    """Notices and stored messages, these at the user's own address; for the rest the contacts count."""

    async def work() -> None:
        proxy = NextHop()
        async with proxy.open(transport) as port:
            uri = f"sip:{LOOPBACK}:{port};transport={transport}"
            async with House(await asyncio.to_thread(start, outbound_proxy=uri, **NOTICE)) as house:
                await scenario(house, proxy)

    async def scenario(house: House, proxy: NextHop) -> None:
        alice, bob = await house.phone(), await house.phone()
        assert (await alice.message("bob", "one", f"Contact: <{alice.contact('alice')}>")).status == 202
        await proxy.until_received(1)
        assert proxy.received[0].start == f"MESSAGE {alice.contact('alice')} SIP/2.0"
        assert (await bob.register("bob")).status == 200
        await proxy.until_received(2)
        got = proxy.received[1]
        assert got.start == f"MESSAGE sip:bob@{DOMAIN} SIP/2.0"
        assert got.header("via").startswith(f"SIP/2.0/{transport.upper()} ")
        assert got.text.endswith("] one")
        await asyncio.to_thread(house.server.wait_empty)
        assert (alice.received, bob.received) == ([], [])

    asyncio.run(work())


def test_proxy_that_takes_nothing_is_tried_again_later(start: Callable[..., Server]) -> None:
    async def work() -> None:
        proxy = NextHop()
        proxy.status = 503
        async with proxy.open("udp") as port:
            uri = f"sip:{LOOPBACK}:{port}"
            async with House(await asyncio.to_thread(start, outbound_proxy=uri)) as house:
                await scenario(house, proxy)

    async def scenario(house: House, proxy: NextHop) -> None:
        await house.store("one")
        bob = await house.phone()
        assert (await bob.register("bob")).status == 200
        await proxy.until_received(1)
        query = "SELECT attempts, last_status, next_try > inc_time + 29 FROM silo"
        await bob.until(lambda: house.server.query(query) == [(1, 503, 1)], "the end of the attempt")
        assert bob.received == []

    asyncio.run(work())


# -- who registers


def test_registrar_limits(start: Callable[..., Server]) -> None:
    """default_expires, min_expires, max_expires and max_contacts of [registrar]."""

    async def scenario(house: House) -> None:
        bob = await house.phone()

        async def bind(*headers: str, contact: str = "") -> tuple[int, str]:
            lines = [f"Contact: <{contact or bob.contact('bob')}>", *headers]
            answer = await bob.request("REGISTER", f"sip:{DOMAIN}", "bob", "bob", lines)
            told = answer.final.all("contact") or answer.final.all("min-expires")
            return answer.status, told[0].rpartition("expires=")[2] if told else ""

        assert await bind() == (200, "100")
        assert await bind("Expires: 150") == (200, "150")
        assert await bind("Expires: 1000") == (200, "200")
        assert await bind("Expires: 79") == (423, "80")
        assert await bind(contact="sip:bob@127.0.0.1:9") == (403, "")

    run(start(registrar={"default_expires": 100, "min_expires": 80, "max_expires": 200, "max_contacts": 1}), scenario)


# -- where it is kept


@pytest.mark.parametrize("pool", [1, 3])
@pytest.mark.parametrize("database", SERVERS, indirect=True)
def test_db_pool(database: Database, start_server: StartServer, pool: int) -> None:
    counts = {
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = database()",
        "postgres": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()",
    }
    query = next(query for scheme, query in counts.items() if database.url.startswith(scheme))
    start_server(database, msilo={"db_pool": pool})
    # the one that asks is among them; the one that has looked at the tables may be a moment longer
    wait_until(lambda: database.query(query) == [(pool + 1,)], f"{pool} connections")


COLUMNS = {
    "sc_mid": "number",
    "sc_from": "source_address",
    "sc_to": "destination_address",
    "sc_uri_user": "user",
    "sc_uri_host": "host",
    "sc_body": "message_body",
    "sc_ctype": "content_type",
    "sc_exp_time": "expire_time",
    "sc_inc_time": "incoming_time",
    "sc_snd_time": "send_reminder_time",
    "sc_stored_hdrs": "header_lines",
    "sc_callid": "call",
    "sc_status": "state",
}


def test_table_and_columns_have_the_names_of_the_parameters(start: Callable[..., Server]) -> None:
    """db_table and all sc_…, through the whole life of a message and of a reminder."""
    script = "if request.header('X-When'):\n    request.avp['when'] = request.header('X-When')"
    names = COLUMNS | {"db_table": "messages"}
    server = start(script, reminder=REMINDER, send_time=60, snd_time_avp="when", max_messages=2, **names)

    async def scenario(house: House) -> None:
        now = int(time.time())
        await house.store("one", headers=("X-Own: 1",))
        columns = ", ".join(f'"{name}"' for name in COLUMNS.values())
        (row,) = server.query(f"SELECT {columns} FROM messages")
        held = dict(zip(COLUMNS, row, strict=True))
        assert held["sc_from"] == f"sip:alice@{DOMAIN}"
        assert held["sc_to"] == f"sip:bob@{DOMAIN}"
        assert (held["sc_uri_user"], held["sc_uri_host"]) == ("bob", DOMAIN)
        assert (held["sc_body"], held["sc_ctype"]) == (b"one", "text/plain")
        assert held["sc_stored_hdrs"] == b"X-Own: 1\r\n"
        assert (held["sc_mid"], held["sc_snd_time"]) == (1, 0)
        assert now <= int(str(held["sc_inc_time"])) == int(str(held["sc_exp_time"])) - 259_200 <= now + 2
        assert held["sc_callid"]
        bob = await house.phone()
        assert (await bob.register("bob")).status == 200
        await bob.until_received(1)
        due = int(time.time()) + 2
        await house.store("lunch", headers=(f"X-When: {time.strftime('%Y%m%d%H%M%S', time.localtime(due))}",))
        assert server.query('SELECT "send_reminder_time" FROM messages') == [(due,)]
        await bob.until_received(2)
        assert bob.received[1].text.startswith("[Reminder message - ")
        await bob.until(lambda: server.query("SELECT * FROM messages") == [], "an empty table")

    run(server, scenario)
    # what a table of the usual name would have been used for: its numbers begin at 1
    assert server.query("SELECT * FROM sqlite_sequence WHERE name='silo'") == []


def test_number_is_called_id_where_the_table_has_it(tmp_path: Path, start: Callable[..., Server]) -> None:
    """sc_mid is not set, and the table is one that OpenSIPS' or Kamailio's own SQL has made."""
    file = tmp_path / "server0" / "silo.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(KAMAILIOS_TABLE)
        now = int(time.time())
        row = ("sip:alice@example.org", "sip:bob@example.org", "bob", DOMAIN, now, now + 3600, b"old")
        connection.execute(
            "INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, body) VALUES (?,?,?,?,?,?,?)",
            row,
        )
    file.parent.rename(tmp_path / "kept")

    async def scenario(house: House) -> None:
        await house.store("new")
        assert [got.text for got in await house.delivered(2)] == ["old", "new"]

    run(start(db_url=f"sqlite:///{tmp_path}/kept/silo.db", add_date=0), scenario)


KAMAILIOS_TABLE = """
CREATE TABLE silo (
    id INTEGER PRIMARY KEY NOT NULL,
    src_addr VARCHAR(255) DEFAULT '' NOT NULL, dst_addr VARCHAR(255) DEFAULT '' NOT NULL,
    username VARCHAR(64) DEFAULT '' NOT NULL, domain VARCHAR(64) DEFAULT '' NOT NULL,
    inc_time INTEGER DEFAULT 0 NOT NULL, exp_time INTEGER DEFAULT 0 NOT NULL, snd_time INTEGER DEFAULT 0 NOT NULL,
    ctype VARCHAR(32) DEFAULT 'text/plain' NOT NULL, body BLOB,
    extra_hdrs TEXT, callid VARCHAR(128) DEFAULT '' NOT NULL, status INTEGER DEFAULT 0 NOT NULL
)
"""
