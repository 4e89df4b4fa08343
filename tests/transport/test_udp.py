"""UDP: a datagram is a message."""

import asyncio
import socket

import pytest

from sipsilo.transport.flow import Address, FlowClosed
from tests.loop import run
from tests.transport.peers import LOOPBACK, datagrams, message, open_station, until


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


HOSTS = [
    LOOPBACK,
    pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
]


@pytest.mark.parametrize("host", HOSTS)
def test_message_comes_with_its_flow(host: str) -> None:
    async def scenario() -> None:
        async with open_station(host=host) as station, datagrams(station.udp) as peer:
            peer.transport.sendto(message())
            await station.until_received(1)
            flow = station.taker.flow
            assert (flow.transport, flow.reliable, flow.connected, flow.closed) == ("UDP", False, False, False)
            assert (flow.local, flow.remote) == (station.udp, peer.address)
            assert flow.sent_by == str(station.udp)
            flow.send(b"answer")
            await until(lambda: peer.datagrams == [b"answer"], "the answer")

    run(scenario())


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\r\n\r\n\r\n", b"\0", b"\0\0\0\0", b"\r\n\0"])
def test_keep_alives_are_dropped(data: bytes) -> None:
    async def scenario() -> None:
        async with open_station() as station, datagrams(station.udp) as peer:
            peer.transport.sendto(data)
            peer.transport.sendto(message())
            await station.until_received(1)
            assert (station.taker.numbers, station.taker.errors, peer.datagrams) == ([1], [], [])

    run(scenario())


def test_line_ends_before_a_message_are_no_part_of_it() -> None:
    """RFC 3261 §7.5."""

    async def scenario() -> None:
        async with open_station() as station, datagrams(station.udp) as peer:
            peer.transport.sendto(b"\r\n\r\n" + message())
            await station.until_received(1)
            assert station.taker.numbers == [1]

    run(scenario())


@pytest.mark.parametrize(
    ("data", "cause", "has_request"),
    [
        (b"hello", "truncated", False),
        (b"hello\r\n\r\n", "garbage", False),
        (message()[:-1], "content-length", True),
        (message()[:60], "truncated", False),
        (message(length=100), "content-length", True),
    ],
)
def test_bad_datagram_is_reported(data: bytes, cause: str, has_request: bool) -> None:
    async def scenario() -> None:
        async with open_station() as station, datagrams(station.udp) as peer:
            peer.transport.sendto(data)
            await until(lambda: station.taker.errors, "the error")
            ((error, flow),) = station.taker.errors
            assert (error.cause, error.request is not None, flow.remote) == (cause, has_request, peer.address)

    run(scenario())


def test_largest_datagram_is_taken_and_sent() -> None:
    async def scenario() -> None:
        async with open_station() as station, datagrams(station.udp) as peer:
            body = bytes(65_507 - len(message(body=b"", length=65_000)))
            data = message(body=body)
            assert len(data) == 65_507
            peer.transport.sendto(data)
            await station.until_received(1)
            assert station.taker.messages[0][0].body == body
            station.taker.flow.send(data)
            await until(lambda: peer.datagrams == [data], "the datagram")

    run(scenario())


def test_closed_socket_sends_nothing() -> None:
    async def scenario() -> None:
        async with open_station() as station, datagrams() as peer:
            flow = await station.layer.flow_to("UDP", peer.address)
            await station.layer.close()
            assert flow.closed
            with pytest.raises(FlowClosed):
                flow.send(b"late")

    run(scenario())


def test_advertised_name_is_what_we_are_known_by() -> None:
    async def scenario() -> None:
        async with open_station(advertise="sip.example.org:5070") as station:
            flow = await station.layer.flow_to("UDP", Address(LOOPBACK, 9))
            assert flow.sent_by == "sip.example.org:5070"

    run(scenario())


def test_peer_sees_an_address_even_where_we_listen_on_all() -> None:
    async def scenario() -> None:
        async with open_station(host="0.0.0.0") as station:
            flow = await station.layer.flow_to("UDP", Address(LOOPBACK, 9))
            assert flow.sent_by == str(Address(LOOPBACK, station.udp.port))

    run(scenario())


def test_refusal_ends_a_flow_of_its_own_socket() -> None:
    """ICMP port unreachable: with `connected_udp` it is known whose it is."""

    async def scenario() -> None:
        async with open_station() as station:
            async with datagrams() as peer:
                nobody = peer.address
            flow = await station.layer.connected_udp(nobody)
            assert flow.connected
            flow.send(message())
            await until(lambda: station.taker.closed == [flow], "the refusal")

    run(scenario())


def test_refusal_disturbs_nobody_on_a_listening_socket() -> None:
    async def scenario() -> None:
        async with open_station() as station, datagrams(station.udp) as peer:
            async with datagrams() as other:
                nobody = other.address
            flow = await station.layer.flow_to("UDP", nobody)
            for _ in range(3):
                flow.send(message())
                await asyncio.sleep(0.01)
            peer.transport.sendto(message(7))
            await station.until_received(1)
            assert (station.taker.numbers, station.taker.closed) == ([7], [])

    run(scenario())
