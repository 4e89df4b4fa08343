"""Bad input is answered or dropped as RFC 3261 says, and the server goes on serving."""

import itertools
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from time import monotonic, sleep

import pytest

from tests.acceptance.agent import DOMAIN
from tests.acceptance.conftest import StartServer
from tests.acceptance.programs import LOOPBACK, wait_until
from tests.acceptance.server import Server
from tests.acceptance.wire import Sip, parse, split_stream

HEADERS = {
    "Via": "SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK-UNIQUE;rport",
    "Max-Forwards": "70",
    "From": f"<sip:alice@{DOMAIN}>;tag=1",
    "To": f"<sip:bob@{DOMAIN}>",
    "Call-ID": "UNIQUE",
    "CSeq": "1 MESSAGE",
    "Content-Type": "text/plain",
    "Content-Length": "2",
}


def request(
    start: str = f"MESSAGE sip:bob@{DOMAIN} SIP/2.0", body: str = "hi", more: str = "", **changes: str
) -> bytes:
    """A good MESSAGE with some headers changed, or left out where the value is empty."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value]
    return "".join([start, "\r\n", *lines, more, "\r\n", body]).encode()


GARBAGE = random.Random(3428).randbytes(400)
MANY_HEADERS = "".join(f"X-{number}: 1\r\n" for number in range(500))

# Answered with this status, by UDP and TCP alike, where the connection lives on.
ANSWERED = {
    "unknown-method": (request(f"DANCE sip:bob@{DOMAIN} SIP/2.0", CSeq="1 DANCE"), 405),
    "unknown-version": (request(f"MESSAGE sip:bob@{DOMAIN} SIP/3.0"), 505),
    "space-in-request-uri": (request(f"MESSAGE sip:bo b@{DOMAIN} SIP/2.0"), 400),
    "bad-request-uri": (request("MESSAGE sip: SIP/2.0"), 400),
    "cseq-of-another-method": (request(CSeq="1 REGISTER"), 400),
    "cseq-without-number": (request(CSeq="one MESSAGE"), 400),
    "cseq-too-large": (request(CSeq="4294967296 MESSAGE"), 400),
    "no-cseq": (request(CSeq=""), 400),
    "no-call-id": (request(Call_ID=""), 400),
    "no-from": (request(From=""), 400),
    "no-to": (request(To=""), 400),
    "two-call-ids": (request(more="Call-ID: another\r\n"), 400),
    "line-without-colon": (request(more="no header\r\n"), 400),
    "too-many-headers": (request(more=MANY_HEADERS), 400),
    "no-hop-left": (request(Max_Forwards="0"), 483),
    "unknown-extension": (request(more="Proxy-Require: telepathy\r\n"), 420),
}

# Answered with this status; over TCP it is not known where the next message begins, so the connection ends.
LENGTHS = {
    "length-of-no-number": (request(Content_Length="two"), 400),
    "two-lengths": (request(more="Content-Length: 1\r\n"), 400),
    "negative-length": (request(Content_Length="-2"), 400),
    "oversized-body": (request(Content_Length="10000000"), 413),
}

# What cannot be answered.
DROPPED = {
    "garbage": GARBAGE,
    "garbage-with-empty-line": GARBAGE + b"\r\n\r\n",
    "line-ends": b"\r\n" * 100,
    "oversized-head": request(more=f"X-Large: {'x' * 40_000}\r\n"),
    "no-via": request(Via=""),
    "response-to-nothing": request("SIP/2.0 200 OK"),
}

# What counts them, each a word of the line that the server ends with.
COUNTERS = [
    "dropped.garbage",
    "dropped.truncated",
    "dropped.oversized",
    "dropped.malformed",
    "dropped.unmatched_response",
    "refused.content-length",
    "refused.cseq",
    "refused.headers",
    "refused.hops",
    "refused.malformed",
    "refused.method",
    "refused.oversized",
    "refused.proxy-require",
    "refused.repeated",
    "refused.request-line",
    "refused.version",
    "connections.refused",
    "connections.idle",
]

NUMBERS = itertools.count()


class Client:
    """A blocking socket that speaks to the server."""

    def __init__(self, server: Server, transport: str) -> None:
        kind = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}[transport]
        self.socket = socket.socket(socket.AF_INET, kind)
        self.socket.settimeout(5)
        self.socket.connect((LOOPBACK, server.port))
        self._transport = transport
        self._buffer = bytearray()
        self._waiting: list[Sip] = []

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send a request of this module as a new one of its own, by this transport."""
        data = data.replace(b"UNIQUE", f"{next(NUMBERS)}".encode())
        self.socket.sendall(data.replace(b"SIP/2.0/UDP", f"SIP/2.0/{self._transport.upper()}".encode()))

    def receive(self) -> Sip | None:
        """The next message; None when the server has closed the connection."""
        while not self._waiting:
            try:
                data = self.socket.recv(65_535)
            except ConnectionResetError:
                return None
            if self._transport == "udp":
                return parse(data)
            if not data:
                return None
            self._buffer += data
            self._waiting = split_stream(self._buffer)
        return self._waiting.pop(0)

    def answer(self) -> Sip:
        """The next message, which must come."""
        message = self.receive()
        assert message is not None, "the server has closed the connection"
        return message

    def status_of(self, data: bytes) -> int:
        self.send(data)
        return self.answer().status

    def options(self) -> int:
        """The status of an OPTIONS; no answer to what was sent before may come instead."""
        start = f"OPTIONS sip:{DOMAIN} SIP/2.0"
        self.send(request(start, "", CSeq="1 OPTIONS", Content_Type="", Content_Length="0"))
        answer = self.answer()
        assert answer.method == "OPTIONS", answer
        return answer.status


@pytest.fixture
def udp(shared_server: Server) -> Iterator[Client]:
    with closing(Client(shared_server, "udp")) as client:
        yield client


@pytest.fixture
def tcp(shared_server: Server) -> Iterator[Client]:
    with closing(Client(shared_server, "tcp")) as client:
        yield client


@pytest.mark.parametrize(("data", "status"), (ANSWERED | LENGTHS).values(), ids=ANSWERED | LENGTHS)
def test_bad_request_over_udp_is_answered(udp: Client, data: bytes, status: int) -> None:
    assert udp.status_of(data) == status
    assert udp.options() == 200


@pytest.mark.parametrize(("data", "status"), ANSWERED.values(), ids=ANSWERED)
def test_bad_request_over_tcp_is_answered(tcp: Client, data: bytes, status: int) -> None:
    assert tcp.status_of(data) == status
    assert tcp.options() == 200


@pytest.mark.parametrize(("data", "status"), LENGTHS.values(), ids=LENGTHS)
def test_bad_length_over_tcp_ends_the_connection(tcp: Client, udp: Client, data: bytes, status: int) -> None:
    assert tcp.status_of(data) == status
    assert tcp.receive() is None
    assert udp.options() == 200


@pytest.mark.parametrize("data", DROPPED.values(), ids=DROPPED)
def test_what_cannot_be_answered_is_dropped_over_udp(udp: Client, data: bytes) -> None:
    udp.send(data)
    assert udp.options() == 200


@pytest.mark.parametrize("name", ["garbage-with-empty-line", "oversized-head"])
def test_garbage_over_tcp_ends_the_connection(tcp: Client, udp: Client, name: str) -> None:
    tcp.send(DROPPED[name])
    answer = tcp.receive()
    assert answer is None or answer.status == 513
    assert answer is None or tcp.receive() is None
    assert udp.options() == 200


def test_allow_tells_what_is_known(udp: Client) -> None:
    udp.send(ANSWERED["unknown-method"][0])
    allowed = udp.answer().header("allow")
    assert {"MESSAGE", "REGISTER", "OPTIONS"} <= set(allowed.replace(" ", "").split(","))


def test_unsupported_tells_what_is_not_known(udp: Client) -> None:
    udp.send(ANSWERED["unknown-extension"][0])
    assert udp.answer().header("unsupported") == "telepathy"


def test_datagram_that_ends_before_its_body_is_refused(udp: Client) -> None:
    assert udp.status_of(request(Content_Length="20")) == 400
    assert udp.options() == 200


def test_datagram_without_the_end_of_its_head_is_dropped(udp: Client) -> None:
    udp.send(request()[:200])
    assert udp.options() == 200


def test_what_follows_the_body_of_a_datagram_is_discarded(server: Server) -> None:
    with closing(Client(server, "udp")) as client:
        assert client.status_of(request(body="hi, this is too much")) == 202
    assert server.bodies() == ["hi"]


def test_stream_without_content_length_is_refused(tcp: Client) -> None:
    assert tcp.status_of(request(Content_Length="")) == 400
    assert tcp.receive() is None


def test_message_in_single_bytes_over_tcp_is_stored(server: Server) -> None:
    with closing(Client(server, "tcp")) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request():
            client.send(bytes([byte]))
        assert client.answer().status == 202
    assert server.bodies() == ["hi"]


def test_sender_that_stops_within_a_message_is_disconnected(start_server: StartServer) -> None:
    server = start_server(server={"idle_timeout": 1})
    with closing(Client(server, "tcp")) as slow, closing(Client(server, "udp")) as client:
        slow.send(request()[:100])
        assert slow.receive() is None
        assert client.options() == 200


def test_sender_of_one_message_without_end_is_disconnected(start_server: StartServer) -> None:
    server = start_server(server={"idle_timeout": 1})
    with closing(Client(server, "tcp")) as slow, closing(Client(server, "udp")) as client:
        slow.send(b"MESSAGE sip:")
        end = monotonic() + 40
        while not is_closed(slow.socket):
            assert monotonic() < end, "still connected"
            sleep(0.2)
            with suppress(ConnectionError):
                slow.socket.send(b"x")
        assert client.options() == 200


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed a connection on which it has nothing to say."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(5)


@pytest.mark.parametrize("limit", ["max_connections", "max_connections_per_address"])
def test_connections_over_the_limit_are_refused(start_server: StartServer, limit: str) -> None:
    server = start_server(server={limit: 20})
    with ExitStack() as stack:
        first = [stack.enter_context(closing(Client(server, "tcp"))) for _ in range(20)]
        assert [client.options() for client in first] == [200] * 20
        for _ in range(50):
            with closing(Client(server, "tcp")) as client:
                assert client.receive() is None
        assert [client.options() for client in first] == [200] * 20
        assert stack.enter_context(closing(Client(server, "udp"))).options() == 200
    wait_until(lambda: accepts_connection(server), "a place for a new connection")


def accepts_connection(server: Server) -> bool:
    with closing(Client(server, "tcp")) as client, suppress(AssertionError, ConnectionError):
        return client.options() == 200
    return False


def test_each_class_is_counted(start_server: StartServer) -> None:
    server = start_server(server={"max_connections": 1, "idle_timeout": 1})
    with closing(Client(server, "udp")) as udp:
        for data, _ in (ANSWERED | LENGTHS).values():
            udp.send(data)
        for data in DROPPED.values():
            udp.send(data)
        udp.send(request(Content_Length="20"))
        udp.send(request()[:200])
        with closing(Client(server, "tcp")) as slow, closing(Client(server, "tcp")) as refused:
            assert refused.receive() is None
            slow.send(request()[:100])
            assert slow.receive() is None
        with closing(Client(server, "tcp")) as idle:
            assert idle.receive() is None
    counters = server.stop()
    missing = [name for name in COUNTERS if not counters.get(name)]
    assert not missing, counters
