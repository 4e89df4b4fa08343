"""The transport layer: flows to anywhere, and the limits of connections."""

import asyncio
import gc
import socket
from contextlib import AsyncExitStack, suppress

import pytest

from sipsilo.transport import layer
from sipsilo.transport.flow import Address, FlowClosed
from sipsilo.transport.layer import Limits, ListenPoint
from tests.loop import run
from tests.transport.peers import LOOPBACK, connected, datagrams, listening, message, open_station, until


# uvloop does not close a UDP transport that it could not bind
@pytest.mark.filterwarnings("ignore:unclosed resource <UDPTransport:ResourceWarning")
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_address_in_use_is_told(transport: str) -> None:
    async def scenario() -> None:
        async with open_station() as one, open_station() as other:
            taken = one.udp if transport == "UDP" else one.tcp
            with pytest.raises(OSError, match=r"in use|could not bind"):
                await other.layer.listen(ListenPoint(transport, taken))

    run(scenario())
    gc.collect()


def test_connection_is_used_again() -> None:
    """RFC 3261 §18: by both sides, whoever opened it."""

    async def scenario() -> None:
        async with open_station() as one, open_station() as other:
            there = await one.layer.flow_to("TCP", other.tcp)
            there.send(message(1))
            await other.until_received(1)
            assert await one.layer.flow_to("TCP", other.tcp) is there
            back = other.taker.flow
            assert await other.layer.flow_to("TCP", back.remote) is back
            back.send(message(2))
            await one.until_received(1)
            assert one.taker.flow is there

    run(scenario())


def test_connection_is_opened_once_for_all_who_ask() -> None:
    async def scenario() -> None:
        async with open_station() as station, listening() as (address, peers):
            flows = await asyncio.gather(*(station.layer.flow_to("TCP", address) for _ in range(10)))
            assert len({id(flow) for flow in flows}) == 1
            await until(lambda: len(peers) == 1, "the connection")

    run(scenario())


def test_connection_that_has_ended_is_opened_anew() -> None:
    async def scenario() -> None:
        async with open_station() as station, listening() as (address, peers):
            first = await station.layer.flow_to("TCP", address)
            await until(lambda: peers, "the connection")
            peers[0].transport.close()
            await until(lambda: first.closed, "the end")
            second = await station.layer.flow_to("TCP", address)
            second.send(b"hello")
            await until(lambda: len(peers) == 2 and peers[1].received == b"hello", "the second connection")

    run(scenario())


def test_peer_can_connect_back_to_what_we_are_known_by() -> None:
    """§18.1.1: the sent-by of a connection of ours is where we listen."""

    async def scenario() -> None:
        async with open_station() as station, listening() as (address, _):
            flow = await station.layer.flow_to("TCP", address)
            assert flow.sent_by == str(station.tcp)
        async with open_station(advertise="sip.example.org") as station, listening() as (address, _):
            flow = await station.layer.flow_to("TCP", address)
            assert flow.sent_by == "sip.example.org"

    run(scenario())


def test_open_connection_is_found_by_both_addresses() -> None:
    async def scenario() -> None:
        async with open_station() as station:
            async with connected(station.tcp) as peer:
                await until(lambda: station.layer.stream_flow(station.tcp, peer.address), "the connection")
                flow = station.layer.stream_flow(station.tcp, peer.address)
                assert flow is not None and flow.remote == peer.address
                assert station.layer.stream_flow(Address(LOOPBACK, 9), peer.address) is None
                assert station.layer.stream_flow(station.tcp, Address(LOOPBACK, 9)) is None
            await until(lambda: station.taker.closed, "the end")
            assert station.layer.stream_flow(station.tcp, peer.address) is None

    run(scenario())


def test_udp_flow_is_found_by_our_address() -> None:
    async def scenario() -> None:
        async with open_station() as station, datagrams() as peer:
            second = await station.layer.listen(ListenPoint("UDP", Address(LOOPBACK, 0)))
            for local in (station.udp, second):
                flow = station.layer.udp_flow(local, peer.address)
                assert flow is not None and (flow.local, flow.remote) == (local, peer.address)
            assert station.layer.udp_flow(Address(LOOPBACK, 9), peer.address) is None

    run(scenario())


@pytest.mark.parametrize("transport", ["TLS", "WS", "SCTP"])
def test_other_transports_are_told(transport: str) -> None:
    async def scenario() -> None:
        async with open_station() as station:
            with pytest.raises(FlowClosed):
                await station.layer.flow_to(transport, Address(LOOPBACK, 9))

    run(scenario())


def test_address_of_a_family_that_we_do_not_listen_on() -> None:
    async def scenario() -> None:
        async with open_station() as station:
            with pytest.raises(FlowClosed):
                await station.layer.flow_to("UDP", Address("::1", 9))

    run(scenario())


def test_refusal_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "REFUSAL_MEMORY", 0.3)

    async def scenario() -> None:
        async with open_station() as station:
            async with listening() as (address, _):
                pass
            with pytest.raises(FlowClosed):
                await station.layer.flow_to("TCP", address)
            async with listening(address.port) as (_, peers):
                with pytest.raises(FlowClosed):
                    await station.layer.flow_to("TCP", address)
                assert peers == []
                await asyncio.sleep(0.35)
                await station.layer.flow_to("TCP", address)

    run(scenario())


def test_connection_from_a_peer_counts_more_than_its_refusal() -> None:
    async def scenario() -> None:
        async with open_station() as station, AsyncExitStack() as stack:
            sock = stack.enter_context(socket.socket())
            sock.bind((LOOPBACK, 0))
            address = Address(*sock.getsockname())
            with pytest.raises(FlowClosed):
                await station.layer.flow_to("TCP", address)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, station.tcp)
            await until(lambda: station.layer.stream_flow(station.tcp, address), "the connection")
            assert (await station.layer.flow_to("TCP", address)).remote == address

    run(scenario())


def test_no_more_refusals_are_remembered_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "MAX_REFUSALS", 3)

    async def scenario() -> None:
        async with open_station() as station, AsyncExitStack() as stack:
            refusing = []
            for _ in range(5):
                sock = stack.enter_context(socket.socket())
                sock.bind((LOOPBACK, 0))
                refusing.append((sock, Address(*sock.getsockname())))
            for _, address in refusing:
                with pytest.raises(FlowClosed):
                    await station.layer.flow_to("TCP", address)
            # the oldest is forgotten, and tried again
            sock, address = refusing[0]
            sock.listen()
            assert (await station.layer.flow_to("TCP", address)).remote == address

    run(scenario())


def test_silent_address_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """SPEC.md chapter 4: a connection that is not there in two seconds is none."""
    monkeypatch.setattr(layer, "CONNECT_TIMEOUT", 0.1)

    async def scenario() -> None:
        async with open_station() as station, AsyncExitStack() as stack:
            # a full backlog lets further connections wait
            server = stack.enter_context(socket.socket())
            server.bind((LOOPBACK, 0))
            server.listen(0)
            address = Address(*server.getsockname())
            for _ in range(4):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(address)
            started = asyncio.get_running_loop().time()
            with pytest.raises(FlowClosed):
                await station.layer.flow_to("TCP", address)
            assert asyncio.get_running_loop().time() - started < 1

    run(scenario())


@pytest.mark.parametrize("limits", [Limits(connections=3), Limits(connections_per_address=3)])
def test_no_more_connections_than_the_limit(limits: Limits) -> None:
    async def scenario() -> None:
        async with open_station(limits) as station, AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(connected(station.tcp)) for _ in range(3)]
            for number, peer in enumerate(peers):
                peer.write(message(number))
            await station.until_received(3)
            one_too_many = await stack.enter_async_context(connected(station.tcp))
            await until(lambda: one_too_many.gone and station.taker.closed, "the refusal")
            assert station.counts["connections.refused"] == 1
            # those that are there stay, and when one goes, another may come
            peers[0].write(message(3))
            await station.until_received(4)
            peers[0].transport.close()
            await until(lambda: len(station.taker.closed) == 2, "the end")
            another = await stack.enter_async_context(connected(station.tcp))
            another.write(message(4))
            await station.until_received(5)
            assert station.taker.numbers == [0, 1, 2, 3, 4]

    run(scenario())


def test_silent_connection_is_closed() -> None:
    async def scenario() -> None:
        async with (
            open_station(Limits(idle_timeout=0.3)) as station,
            connected(station.tcp) as silent,
            connected(station.tcp) as busy,
        ):
            for _ in range(60):
                busy.write(b"\r\n\r\n")
                await asyncio.sleep(0.05)
                if silent.gone:
                    break
            assert (silent.gone, busy.gone) == (True, False)
            assert station.counts["connections.idle"] == 1

    run(scenario())


def test_slow_sender_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message in drops binds a connection; whoever sends whole messages slowly does not."""
    monkeypatch.setattr(layer, "PARTIAL_TIMEOUT", 0.3)

    async def scenario() -> None:
        async with (
            open_station(Limits(idle_timeout=0.6)) as station,
            connected(station.tcp) as slow,
            connected(station.tcp) as steady,
        ):
            rest = b""
            for number, byte in enumerate(message()):
                slow.write(bytes((byte,)))
                # each time the end of one and the beginning of the next but one
                steady.write(rest + message(number) + message()[:9] if number % 2 else rest)
                rest = message()[9:] if number % 2 else b""
                await asyncio.sleep(0.05)
                if slow.gone:
                    break
            assert (slow.gone, steady.gone) == (True, False)
            assert station.taker.errors == []
            assert station.counts["connections.slow"] == 1

    run(scenario())


def test_nothing_new_is_accepted_after_stop_listening() -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            peer.write(message(1))
            await station.until_received(1)
            station.layer.stop_listening()
            # refused, or accepted by the kernel and then reset
            with suppress(OSError):
                async with connected(station.tcp) as late:
                    await until(lambda: late.gone, "the refusal")
            # what is open goes on in both directions
            peer.write(message(2))
            await station.until_received(2)
            station.taker.flow.send(b"answer")
            await until(lambda: peer.received == b"answer", "the answer")

    run(scenario())


def test_close_ends_everything() -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer, listening() as (address, peers):
            await station.layer.flow_to("TCP", address)
            await until(lambda: peers, "the connection")
            await station.layer.close()
            await until(lambda: peer.gone and peers[0].gone, "the ends")
            async with datagrams() as other:
                with pytest.raises(FlowClosed):
                    (await station.layer.flow_to("UDP", other.address)).send(b"late")

    run(scenario())
