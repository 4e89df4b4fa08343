"""TCP connections: many messages on one stream, in both directions."""

import asyncio
import socket
from contextlib import suppress

import pytest

from sipsilo.transport import stream
from sipsilo.transport.flow import FlowClosed
from tests.loop import run
from tests.transport.peers import connected, listening, message, open_station, until


def test_messages_come_with_their_flow() -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            peer.write(message(1) + message(2))
            await station.until_received(2)
            assert station.taker.numbers == [1, 2]
            flow = station.taker.flow
            assert (flow.transport, flow.reliable, flow.connected, flow.closed) == ("TCP", True, True, False)
            assert (flow.local, flow.remote, flow.sent_by) == (station.tcp, peer.address, str(station.tcp))
            flow.send(b"answer")
            await until(lambda: peer.received == b"answer", "the answer")

    run(scenario())


@pytest.mark.parametrize("size", [1, 7, 100])
def test_message_in_pieces(size: int) -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            peer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = message(1) + message(2, bytes(range(256)))
            for start in range(0, len(data), size):
                peer.write(data[start : start + size])
                await asyncio.sleep(0)
            await station.until_received(2)
            assert station.taker.numbers == [1, 2]
            assert station.taker.messages[1][0].body == bytes(range(256))

    run(scenario())


def test_ping_is_answered_with_a_pong() -> None:
    """RFC 5626 §4.4.1."""

    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            peer.write(b"\r\n\r\n")
            await until(lambda: peer.received == b"\r\n", "the pong")
            peer.write(message(1) + b"\r\n\r\n" + message(2))
            await station.until_received(2)
            await until(lambda: peer.received == b"\r\n\r\n", "the second pong")
            assert station.taker.numbers == [1, 2]

    run(scenario())


def test_bad_message_is_reported_and_those_behind_it_are_read() -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            bad = message().replace(b"CSeq: 1 MESSAGE", b"CSeq")
            peer.write(message(1) + bad + message(2))
            await station.until_received(2)
            assert station.taker.numbers == [1, 2]
            assert [error.status for error, _ in station.taker.errors] == [400]
            assert not peer.gone

    run(scenario())


@pytest.mark.parametrize(
    "data",
    [
        b"garbage\r\n\r\n",
        bytes(40_000),
        b"x" * 40_000,
        message().replace(b"Content-Length: 2", b"Content-Length: -2"),
        message().replace(b"Content-Length: 2\r\n", b""),
        message(length=10_000_000),
    ],
    ids=["garbage", "zeros", "no end", "bad length", "no length", "too large"],
)
def test_connection_ends_where_the_end_of_a_message_is_lost(data: bytes) -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            peer.write(data + message(2))
            await until(lambda: peer.gone, "the end")
            assert len(station.taker.errors) == 1
            assert station.taker.numbers == []
            assert len(station.taker.closed) == 1

    run(scenario())


def test_answer_to_a_bad_message_is_sent_before_the_end() -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            station.taker.error_received = (  # type: ignore[method-assign]
                lambda error, flow: flow.send(b"answer")
            )
            peer.write(message(length=10_000_000))
            await until(lambda: peer.gone, "the end")
            assert peer.received == b"answer"

    run(scenario())


def test_end_of_a_connection_is_told_once() -> None:
    async def scenario() -> None:
        async with open_station() as station:
            async with connected(station.tcp) as peer:
                peer.write(message())
                await station.until_received(1)
            await until(lambda: station.taker.closed, "the end")
            flow = station.taker.flow
            assert station.taker.closed == [flow]
            assert flow.closed
            with pytest.raises(FlowClosed):
                flow.send(b"late")

    run(scenario())


def test_message_in_pieces_when_the_peer_hangs_up() -> None:
    async def scenario() -> None:
        async with open_station() as station:
            async with connected(station.tcp) as peer:
                peer.write(message()[:100])
                await asyncio.sleep(0.01)
            await until(lambda: station.taker.closed, "the end")
            assert (station.taker.messages, station.taker.errors) == ([], [])

    run(scenario())


def test_what_is_queued_is_sent_before_a_close() -> None:
    async def scenario() -> None:
        data = bytes(600_000)
        async with open_station() as station, listening() as (address, peers):
            flow = await station.layer.flow_to("TCP", address)
            flow.send(data)
            await station.layer.close()
            await until(lambda: peers[0].gone, "the end")
            assert len(peers[0].received) == len(data)

    run(scenario())


def test_peer_that_does_not_read_is_given_up() -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            peer.write(message())
            await station.until_received(1)
            peer.transport.pause_reading()
            flow = station.taker.flow
            with suppress(FlowClosed):
                for _ in range(100):
                    flow.send(bytes(stream.MAX_UNSENT // 8))
                    await asyncio.sleep(0)
            assert flow.closed
            assert station.counts["connections.not_reading"] == 1
            await until(lambda: station.taker.closed == [flow], "the end")

    run(scenario())


def test_peer_that_is_gone_before_we_look() -> None:
    """Its socket may have no name any more."""

    async def scenario() -> None:
        async with open_station() as station:
            for _ in range(20):
                with socket.create_connection(station.tcp) as sock:
                    # RST instead of FIN
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            async with connected(station.tcp) as peer:
                peer.write(message(7))
                await station.until_received(1)
            assert station.taker.numbers == [7]

    run(scenario())
