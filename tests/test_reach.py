"""Over which flow a binding is reached (SPEC.md chapter 4)."""

import socket
from typing import Any

import pytest

from sipsilo.reach import MAX_UNFRAGMENTED, VIA_SIZE, Reach, TooLarge, resolve
from sipsilo.registrar.binding import Binding, Received
from sipsilo.sip.message import Request
from sipsilo.sip.uri import parse_uri
from sipsilo.transport import layer
from sipsilo.transport.flow import Address, Flow, FlowClosed
from sipsilo.transport.layer import ListenPoint
from tests.loop import run
from tests.transport.peers import LOOPBACK, Station, connected, datagrams, listening, open_station, until

MAX_UDP = 5000


def request(size: int = 500) -> Request:
    """A request of so many bytes without our Via."""
    bare = Request.build("MESSAGE", "sip:bob@example.org", [("Call-ID", "1")], b"")
    body = size - len(bare.to_bytes()) - len(str(size)) + 1
    message = Request.build("MESSAGE", "sip:bob@example.org", [("Call-ID", "1")], b"x" * body)
    assert abs(len(message.to_bytes()) - size) <= 2
    return message


def binding(contact: str, station: Station, remote: Address, **changes: Any) -> Binding:
    """A contact that registered from `remote`; over UDP unless told otherwise."""
    transport = changes.pop("transport", "UDP")
    local = station.udp if transport == "UDP" else station.tcp
    received = Received(transport, local, remote, changes.pop("natted", False))
    return Binding(contact, 1.0, 0, 0, "1", 1, changes.pop("path", ()), None, received)


async def reach(station: Station, bound: Binding, size: int = 500) -> Flow:
    return await Reach(station.layer, MAX_UDP).flow_to_binding(bound, request(size))


def test_contact_is_what_the_phone_wants() -> None:
    async def scenario() -> None:
        async with open_station() as station:
            bound = binding("sip:bob@127.0.0.1:6070", station, Address(LOOPBACK, 5070))
            flow = await reach(station, bound)
            assert (flow.transport, flow.local, flow.remote) == ("UDP", station.udp, Address(LOOPBACK, 6070))

    run(scenario())


def test_socket_of_the_registration_is_used() -> None:
    """A firewall between us lets nothing else through."""

    async def scenario() -> None:
        async with open_station() as station:
            first = station.udp
            second = await station.layer.listen(ListenPoint("UDP", Address(LOOPBACK, 0)))
            for local in (first, second):
                station.udp = local
                flow = await reach(station, binding("sip:bob@127.0.0.1:6070", station, Address(LOOPBACK, 6070)))
                assert flow.local == local

    run(scenario())


def test_another_socket_serves_where_that_of_the_registration_is_gone() -> None:
    """After a restart at another port."""

    async def scenario() -> None:
        async with open_station() as station:
            bound = binding("sip:bob@127.0.0.1:6070", station, Address(LOOPBACK, 6070))
            bound = bound._replace(received=bound.received._replace(local=(LOOPBACK, 9)))
            assert (await reach(station, bound)).remote == Address(LOOPBACK, 6070)

    run(scenario())


def test_phone_behind_nat_is_reached_over_its_flow() -> None:
    async def scenario() -> None:
        async with open_station() as station:
            bound = binding("sip:bob@192.168.1.2", station, Address(LOOPBACK, 5070), natted=True)
            flow = await reach(station, bound)
            assert (flow.local, flow.remote) == (station.udp, Address(LOOPBACK, 5070))

    run(scenario())


@pytest.mark.parametrize(
    "contact", ["sip:bob@192.168.1.2", "sip:bob@192.168.1.2;transport=tcp", "sip:bob@192.168.1.2;transport=TCP"]
)
def test_connection_of_the_registration_is_used(contact: str) -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            await until(lambda: station.layer.stream_flow(station.tcp, peer.address), "the connection")
            flow = await reach(station, binding(contact, station, peer.address, transport="TCP"))
            assert (flow.transport, flow.remote) == ("TCP", peer.address)

    run(scenario())


def test_connection_is_not_used_for_a_contact_of_another_transport() -> None:
    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            await until(lambda: station.layer.stream_flow(station.tcp, peer.address), "the connection")
            bound = binding("sip:bob@127.0.0.1:6070;transport=udp", station, peer.address, transport="TCP")
            flow = await reach(station, bound)
            assert (flow.transport, flow.remote) == ("UDP", Address(LOOPBACK, 6070))

    run(scenario())


def test_contact_is_tried_when_the_connection_has_ended() -> None:
    async def scenario() -> None:
        async with open_station() as station, listening() as (address, peers):
            contact = f"sip:bob@127.0.0.1:{address.port};transport=tcp"
            flow = await reach(station, binding(contact, station, Address(LOOPBACK, 5070), transport="TCP"))
            assert (flow.transport, flow.remote) == ("TCP", address)
            await until(lambda: len(peers) == 1, "the connection")

    run(scenario())


def test_first_path_is_the_next_hop() -> None:
    """RFC 3327 §5.4."""

    async def scenario() -> None:
        async with open_station() as station:
            path = ("<sip:127.0.0.1:6080;lr>", "<sip:127.0.0.1:6090;lr>")
            flow = await reach(station, binding("sip:bob@192.168.1.2", station, Address(LOOPBACK, 5070), path=path))
            assert flow.remote == Address(LOOPBACK, 6080)

    run(scenario())


@pytest.mark.parametrize(
    "contact",
    [
        "sips:bob@127.0.0.1",
        "sips:bob@127.0.0.1;transport=tcp",
        "tel:+1234",
        "mailto:bob@example.org",
        "sip:bob@127.0.0.1;transport=tls",
        "sip:bob@127.0.0.1;transport=ws",
        "sip:bob@nowhere.invalid",
        "sip:bob@a..b.invalid",
        f"sip:bob@{'a' * 64}.invalid",
        f"sip:bob@{'a.' * 130}invalid",
    ],
)
def test_contact_that_cannot_be_reached_is_told(contact: str) -> None:
    async def scenario() -> None:
        async with open_station() as station:
            with pytest.raises(FlowClosed):
                await reach(station, binding(contact, station, Address(LOOPBACK, 5070)))

    run(scenario())


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_sips_never_goes_out_in_clear(transport: str) -> None:
    """RFC 3261 §26.2.2; not over the flow of the registration either."""

    async def scenario() -> None:
        async with open_station() as station, connected(station.tcp) as peer:
            await until(lambda: station.layer.stream_flow(station.tcp, peer.address), "the connection")
            bound = binding("sips:bob@127.0.0.1", station, peer.address, transport=transport, natted=True)
            with pytest.raises(FlowClosed):
                await reach(station, bound)

    run(scenario())


def test_largest_request_for_udp() -> None:
    """§18.1.1: above 1300 bytes, with our Via, TCP is asked first."""

    async def scenario() -> None:
        async with open_station() as station, listening() as (address, _):
            bound = binding(f"sip:bob@127.0.0.1:{address.port}", station, address)
            assert (await reach(station, bound, MAX_UNFRAGMENTED - VIA_SIZE - 3)).transport == "UDP"
            flow = await reach(station, bound, MAX_UNFRAGMENTED - VIA_SIZE + 3)
            assert (flow.transport, flow.remote) == ("TCP", address)

    run(scenario())


def test_large_request_goes_over_udp_where_tcp_is_refused() -> None:
    async def scenario() -> None:
        async with open_station() as station, datagrams() as peer:
            bound = binding(f"sip:bob@127.0.0.1:{peer.address.port}", station, peer.address)
            flow = await reach(station, bound, 3000)
            assert (flow.transport, flow.remote) == ("UDP", peer.address)
            with pytest.raises(TooLarge):
                await reach(station, bound, MAX_UDP)

    run(scenario())


def test_large_request_goes_over_udp_where_tcp_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "CONNECT_TIMEOUT", 0.1)

    async def scenario() -> None:
        with socket.socket() as server, socket.socket() as one, socket.socket() as two:
            server.bind((LOOPBACK, 0))
            server.listen(0)  # a full backlog lets further connections wait
            address = Address(*server.getsockname())
            for sock in (one, two):
                sock.setblocking(False)
                sock.connect_ex(address)
            async with open_station() as station:
                bound = binding(f"sip:bob@127.0.0.1:{address.port}", station, address)
                assert (await reach(station, bound, 3000)).transport == "UDP"

    run(scenario())


def test_large_request_behind_nat() -> None:
    """The connection, if any, goes where the datagrams would."""

    async def scenario() -> None:
        async with open_station() as station, listening() as (address, _):
            bound = binding("sip:bob@192.168.1.2", station, address, natted=True)
            flow = await reach(station, bound, 3000)
            assert (flow.transport, flow.remote) == ("TCP", address)

    run(scenario())


@pytest.mark.parametrize(
    ("uri", "transport", "remote"),
    [
        ("sip:127.0.0.1", "UDP", Address(LOOPBACK, 5060)),
        ("sip:bob@127.0.0.1:6070", "UDP", Address(LOOPBACK, 6070)),
        ("sip:bob@192.0.2.1:6070;maddr=127.0.0.1", "UDP", Address(LOOPBACK, 6070)),
        ("sip:bob@localhost:6070", "UDP", Address(LOOPBACK, 6070)),
        ("im:bob@127.0.0.1", "UDP", Address(LOOPBACK, 5060)),
    ],
)
def test_flow_to_a_uri(uri: str, transport: str, remote: Address) -> None:
    async def scenario() -> None:
        async with open_station() as station:
            flow = await Reach(station.layer, MAX_UDP).flow_to_uri(parse_uri(uri), request())
            assert (flow.transport, flow.remote) == (transport, remote)

    run(scenario())


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("192.0.2.1", [Address("192.0.2.1", 5060)]),
        ("[2001:db8:0::1]", [Address("2001:db8::1", 5060)]),
        ("2001:db8::1", [Address("2001:db8::1", 5060)]),
    ],
)
def test_addresses_need_no_name_server(host: str, addresses: list[Address]) -> None:
    assert run(resolve(host, 5060)) == addresses


def test_ipv4_comes_first() -> None:
    addresses = run(resolve("localhost", 5060))
    assert addresses[0] == Address(LOOPBACK, 5060)
    assert len(addresses) == len(set(addresses))
