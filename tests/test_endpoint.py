"""One SIP element over real sockets: what it answers, what it asks, and when it gives up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from sipsilo.endpoint import Endpoint, Incoming
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.transaction.machine import TransactionError
from sipsilo.transaction.timers import TimerValues
from sipsilo.transport.flow import Address, Flow
from sipsilo.transport.layer import ListenPoint
from tests.acceptance.wire import Sip, parse, split_stream
from tests.loop import run
from tests.transport.peers import LOOPBACK, Peer, connected, datagrams, listening, until

T1 = 0.01


@pytest.fixture
def _short_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty times shorter than RFC 3261's."""
    values = TimerValues(T1, 8 * T1, 10 * T1)
    monkeypatch.setattr("tests.test_endpoint.Endpoint", partial(Endpoint, timers=values))


class Element:
    """An endpoint on loopback whose handler does what the test says; it answers 200."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(self._handle)
        self.handled: list[Incoming] = []
        self.work: Callable[[Incoming], object] = lambda incoming: incoming.reply(200)
        self.udp = self.tcp = Address("", 0)

    async def _handle(self, incoming: Incoming) -> None:
        self.handled.append(incoming)
        result = self.work(incoming)
        if isinstance(result, asyncio.Future):
            await result
            incoming.reply(200)

    @property
    def counters(self) -> dict[str, int]:
        return self.endpoint.counters.snapshot()

    async def listen(self) -> None:
        self.udp = await self.endpoint.transport.listen(ListenPoint("UDP", Address(LOOPBACK, 0)))
        self.tcp = await self.endpoint.transport.listen(ListenPoint("TCP", Address(LOOPBACK, 0)))


@asynccontextmanager
async def open_element() -> AsyncIterator[Element]:
    element = Element()
    await element.listen()
    try:
        yield element
    finally:
        await element.endpoint.close()


HEADERS = {
    "Via": "SIP/2.0/UDP 192.0.2.1:9;branch=z9hG4bK-1;rport",
    "From": "<sip:alice@example.org>;tag=a",
    "To": "<sip:bob@example.org>",
    "Call-ID": "1",
    "CSeq": "1 MESSAGE",
    "Content-Length": "2",
}


def request(start: str = "MESSAGE sip:bob@example.org SIP/2.0", body: str = "Hi", **changes: str) -> bytes:
    """A good MESSAGE with some headers changed, or left out where the value is empty."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    return "\r\n".join([start, *lines, "", body]).encode()


def ours() -> Request:
    """A request for the element to send."""
    headers = [
        ("Max-Forwards", "70"),
        ("From", "<sip:us@example.org>;tag=u"),
        ("To", "<sip:bob@example.org>"),
        ("Call-ID", "ours"),
        ("CSeq", "1 MESSAGE"),
    ]
    return Request.build("MESSAGE", "sip:bob@example.org", headers, b"Hi")


async def answers(peer: Peer, count: int = 1) -> list[Sip]:
    """The first datagrams that a peer has got."""
    await until(lambda: len(peer.datagrams) >= count, f"{count} answers, not {len(peer.datagrams)}")
    return [parse(data) for data in peer.datagrams]


async def ask(peer: Peer, data: bytes) -> Sip:
    """The answer to a datagram."""
    peer.datagrams.clear()
    peer.transport.sendto(data)
    return (await answers(peer))[0]


# -- answering


def test_answer_goes_back_where_the_request_came_from() -> None:
    """§18.2, RFC 3581: received and rport are written into the Via."""

    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            answer = await ask(peer, request())
            assert answer.start == "SIP/2.0 200 OK"
            via = answer.header("via")
            assert via == f"SIP/2.0/UDP 192.0.2.1:9;branch=z9hG4bK-1;received=127.0.0.1;rport={peer.address.port}"
            assert answer.header("to").startswith("<sip:bob@example.org>;tag=")
            assert [answer.header(name) for name in ("from", "call-id", "cseq")] == [
                HEADERS[name] for name in ("From", "Call-ID", "CSeq")
            ]
            assert element.handled[0].flow.remote == peer.address

    run(scenario())


def test_answer_goes_to_the_port_of_the_via_without_rport() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer, datagrams() as other:
            via = f"SIP/2.0/UDP {LOOPBACK}:{other.address.port};branch=z9hG4bK-1"
            peer.transport.sendto(request(Via=via))
            (answer,) = await answers(other)
            assert answer.header("via") == via
            assert peer.datagrams == []

    run(scenario())


def test_answer_goes_over_the_connection_of_the_request() -> None:
    async def scenario() -> None:
        async with open_element() as element, connected(element.tcp) as peer:
            peer.write(request(Via="SIP/2.0/TCP 192.0.2.1:9;branch=z9hG4bK-1"))
            await until(lambda: peer.received.startswith(b"SIP/2.0 200 OK\r\n"), "the answer")

    run(scenario())


def test_answer_goes_over_a_new_connection_when_that_of_the_request_has_ended() -> None:
    """§18.2.2: to the port in the sent-by of the Via, at the address where the request came from."""

    async def scenario() -> None:
        async with open_element() as element, listening() as (address, peers):
            waiting = asyncio.get_running_loop().create_future()
            element.work = lambda incoming: waiting
            async with connected(element.tcp) as peer:
                peer.write(request(Via=f"SIP/2.0/TCP 192.0.2.1:{address.port};branch=z9hG4bK-1"))
                await until(lambda: element.handled, "the request")
            await until(lambda: element.handled[0].flow.closed, "the end of the connection")
            waiting.set_result(None)
            await until(lambda: peers and peers[0].received.startswith(b"SIP/2.0 200 OK\r\n"), "the answer")

    run(scenario())


def test_answer_that_nobody_can_get_is_counted() -> None:
    async def scenario() -> None:
        async with open_element() as element:
            async with listening() as (address, _):
                pass
            waiting = asyncio.get_running_loop().create_future()
            element.work = lambda incoming: waiting
            async with connected(element.tcp) as peer:
                peer.write(request(Via=f"SIP/2.0/TCP 192.0.2.1:{address.port};branch=z9hG4bK-1"))
                await until(lambda: element.handled, "the request")
            await until(lambda: element.handled[0].flow.closed, "the end of the connection")
            waiting.set_result(None)
            await until(lambda: element.counters.get("dropped.flow_closed"), "the count")

    run(scenario())


def test_retransmission_is_handled_once_and_answered_again() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            element.work = lambda incoming: incoming.reply(202, "Kept", [("X-Own", "1")], b"body")
            first = await ask(peer, request())
            assert (first.start, first.header("x-own"), first.body) == ("SIP/2.0 202 Kept", "1", b"body")
            assert await ask(peer, request()) == first
            assert len(element.handled) == 1
            assert element.counters["retransmissions.answered"] == 1

    run(scenario())


def test_stateless_answer_is_forgotten() -> None:
    """A retransmission is a new request, and gets the same To tag (§8.2.7)."""

    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            element.work = lambda incoming: incoming.reply_statelessly(483, "Enough", [("X-Own", "1")], b"body")
            first = await ask(peer, request())
            assert (first.start, first.header("x-own"), first.body) == ("SIP/2.0 483 Enough", "1", b"body")
            assert await ask(peer, request()) == first
            # the same request over another path is merged with nothing
            merged = request(Via="SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-2")
            assert (await ask(peer, merged)).status == 483
            assert len(element.handled) == 3
            assert element.handled[0].answered

    run(scenario())


@pytest.mark.parametrize("first", [Incoming.reply, Incoming.reply_statelessly])
def test_stateless_answer_is_no_second_one(first: Callable[[Incoming, int], None]) -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:

            def work(incoming: Incoming) -> None:
                first(incoming, 202)
                with pytest.raises(TransactionError):
                    incoming.reply_statelessly(483)

            element.work = work
            assert (await ask(peer, request())).status == 202
            await asyncio.sleep(0.02)
            assert len(peer.datagrams) == 1

    run(scenario())


def test_retransmission_before_the_answer_is_absorbed() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            waiting = asyncio.get_running_loop().create_future()
            element.work = lambda incoming: waiting
            for _ in range(3):
                peer.transport.sendto(request())
            await until(lambda: element.counters.get("retransmissions.absorbed") == 2, "the retransmissions")
            waiting.set_result(None)
            assert (await answers(peer))[0].status == 200
            assert len(element.handled) == 1

    run(scenario())


@pytest.mark.usefixtures("_short_timers")
def test_slow_handler_is_covered_by_one_100() -> None:
    """RFC 4320 §4.1: after the time in which Timer E reaches T2, here 70 ms."""

    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            waiting = asyncio.get_running_loop().create_future()
            element.work = lambda incoming: waiting
            started = asyncio.get_running_loop().time()
            peer.transport.sendto(request())
            assert [answer.status for answer in await answers(peer)] == [100]
            assert asyncio.get_running_loop().time() - started > 5 * T1
            waiting.set_result(None)
            assert [answer.status for answer in await answers(peer, 2)] == [100, 200]

    run(scenario())


@pytest.mark.usefixtures("_short_timers")
def test_request_that_is_never_answered_ends_in_silence() -> None:
    """RFC 4320 §4.2: no 408, and nothing after 64*T1."""

    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            element.work = lambda incoming: None
            peer.transport.sendto(request())
            await until(lambda: element.counters.get("dropped.unanswered"), "the end")
            element.handled[0].reply(200)
            await asyncio.sleep(0.02)
            assert [answer.status for answer in await answers(peer)] == [100]

    run(scenario())


def fail(error: Exception) -> Callable[[Incoming], object]:
    def work(incoming: Incoming) -> None:
        raise error

    return work


def test_handler_that_refuses() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            element.work = fail(SipError(423, "Too Brief", cause="expires", headers=(("Min-Expires", "60"),)))
            answer = await ask(peer, request())
            assert (answer.start, answer.header("min-expires")) == ("SIP/2.0 423 Too Brief", "60")
            assert element.counters == {"refused.expires": 1}

    run(scenario())


def test_handler_that_fails() -> None:
    """Each request ends in one final response."""

    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            element.work = fail(ZeroDivisionError())
            assert (await ask(peer, request())).status == 500
            element.work = lambda incoming: incoming.reply(200)
            assert (
                await ask(peer, request(Via="SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-2", Call_ID="2"))
            ).status == 200

    run(scenario())


@pytest.mark.parametrize("error", [SipError(400, "Late"), ZeroDivisionError()])
def test_handler_that_fails_after_its_answer(error: Exception) -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:

            def work(incoming: Incoming) -> None:
                incoming.reply(202)
                raise error

            element.work = work
            peer.transport.sendto(request())
            assert (await answers(peer))[0].status == 202
            await asyncio.sleep(0.02)
            assert len(peer.datagrams) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("data", "status", "count"),
    [
        (request(CSeq="1 REGISTER"), 400, "refused.cseq"),
        (request(CSeq=""), 400, "refused.malformed"),
        (request(Call_ID=""), 400, "refused.malformed"),
        (request(From="nonsense"), 400, "refused.malformed"),
        (request(To="<"), 400, "refused.malformed"),
        (request(start="MESSAGE sip:bo b@example.org SIP/2.0"), 400, "refused.request-line"),
        (request(start="MESSAGE sip:bob@example.org SIP/3.0"), 505, "refused.version"),
        (request(Content_Length="3"), 400, "refused.content-length"),
        (request(Content_Length="200000"), 413, "refused.oversized"),
        (request(Max_Forwards="x"), 400, "refused.malformed"),
        (request(Via="nonsense"), None, "dropped.via"),
        (request(Via=""), None, "dropped.malformed"),
        (request(start="ACK sip:bob@example.org SIP/2.0", CSeq="1 MESSAGE"), None, "dropped.cseq"),
        (b"nonsense\r\n\r\n", None, "dropped.garbage"),
        (request(start="SIP/2.0 200 OK"), None, "dropped.unmatched_response"),
        (request(start="SIP/2.0 200 OK", CSeq=""), None, "dropped.malformed"),
    ],
)
def test_bad_input(data: bytes, status: int | None, count: str) -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            peer.transport.sendto(data)
            await until(lambda: element.counters, "a count")
            assert element.counters == {count: 1} or (count == "dropped.via" and element.counters[count] == 1)
            good = request(Via="SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-good", Call_ID="good")
            peer.transport.sendto(good)
            await until(lambda: b"z9hG4bK-good" in b"".join(peer.datagrams), "the good one's answer")
            statuses = [parse(data).status for data in peer.datagrams]
            assert statuses == ([200] if status is None else [status, 200])

    run(scenario())


def test_merged_request() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            assert (await ask(peer, request())).status == 200
            merged = request(Via="SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-2")
            first = await ask(peer, merged)
            assert first.status == 482
            # §8.2.7: the same To tag each time
            assert await ask(peer, merged) == first
            assert len(element.handled) == 1

    run(scenario())


def test_more_transactions_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipsilo.endpoint.MAX_TRANSACTIONS", 3)

    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            statuses = []
            for number in range(5):
                via = f"SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-{number}"
                answer = await ask(peer, request(Via=via, Call_ID=f"{number}"))
                statuses.append(answer.status)
            assert statuses == [200, 200, 200, 503, 503]
            assert int(answer.header("retry-after")) > 0
            assert element.counters["refused.overload"] == 2
            # retransmissions of those that are in are answered all the same
            again = request(Via="SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-0", Call_ID="0")
            assert (await ask(peer, again)).status == 200

    run(scenario())


@pytest.mark.usefixtures("_short_timers")
def test_answered_transactions_make_room_after_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipsilo.endpoint.MAX_TRANSACTIONS", 1)

    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            assert (await ask(peer, request())).status == 200
            await asyncio.sleep(66 * T1)
            assert (await ask(peer, request())).status == 200
            assert len(element.handled) == 2

    run(scenario())


def test_element_that_only_asks_takes_no_requests() -> None:
    async def scenario() -> None:
        endpoint = Endpoint()
        udp = await endpoint.transport.listen(ListenPoint("UDP", Address(LOOPBACK, 0)))
        async with datagrams(udp) as peer:
            assert (await ask(peer, request())).status == 503
        await endpoint.close()

    run(scenario())


# -- asking


@pytest.mark.parametrize("status", [200, 202, 302, 404, 503, 603])
def test_final_response_is_the_result(status: int) -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams() as peer:
            flow = await element.endpoint.transport.flow_to("UDP", peer.address)
            sending = asyncio.create_task(element.endpoint.send(ours(), flow))
            (message,) = (await answers(peer))[:1]
            via = message.header("via")
            assert via.startswith(f"SIP/2.0/UDP {element.udp};branch=z9hG4bK")
            assert ";rport" in via
            peer.transport.sendto(message.answer(100, "t"), element.udp)
            peer.transport.sendto(message.answer(status, "t", "X-Own: 1"), element.udp)
            response = await sending
            assert (response.status, response.get("x-own")) == (status, "1")

    run(scenario())


@pytest.mark.parametrize("own", [True, False])
def test_onlooker_sees_our_own_requests_before_they_go(own: bool) -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams() as peer:

            async def look(request: Request, flow: Flow) -> None:
                assert flow.remote == peer.address
                request.add("X-Seen", "1")

            element.endpoint.onlooker = look
            flow = await element.endpoint.transport.flow_to("UDP", peer.address)
            sending = asyncio.create_task(element.endpoint.send(ours(), flow, own=own))
            (message,) = (await answers(peer))[:1]
            assert message.all("x-seen") == ["1"] * own
            peer.transport.sendto(message.answer(200, "t"), element.udp)
            assert (await sending).status == 200

    run(scenario())


def test_branches_of_two_requests_differ_and_a_given_one_is_used() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams() as peer:
            flow = await element.endpoint.transport.flow_to("UDP", peer.address)
            sending = [asyncio.create_task(element.endpoint.send(ours(), flow)) for _ in range(2)]
            sending.append(asyncio.create_task(element.endpoint.send(ours(), flow, "z9hG4bKgiven")))
            await answers(peer, 3)
            branches = {parse(data).branch for data in peer.datagrams}
            assert len(branches) == 3
            assert "z9hG4bKgiven" in branches
            for data in peer.datagrams[:3]:
                peer.transport.sendto(parse(data).answer(200, "t"), element.udp)
            assert [response.status for response in await asyncio.gather(*sending)] == [200] * 3

    run(scenario())


@pytest.mark.usefixtures("_short_timers")
def test_silence_over_udp_is_asked_again_and_ends_as_408() -> None:
    """§17.1.2.2 with T1 10 ms: at 0, 1, 3, 7, 15, then every 8 T1 until 64 T1."""

    async def scenario() -> None:
        async with open_element() as element, datagrams() as peer:
            flow = await element.endpoint.transport.flow_to("UDP", peer.address)
            started = asyncio.get_running_loop().time()
            assert (await element.endpoint.send(ours(), flow)).status == 408
            assert asyncio.get_running_loop().time() - started > 63 * T1
            assert len(set(peer.datagrams)) == 1
            assert 6 <= len(peer.datagrams) <= 11
            assert element.counters["retransmissions.sent"] == len(peer.datagrams) - 1

    run(scenario())


@pytest.mark.usefixtures("_short_timers")
def test_silence_over_tcp_is_not_asked_again() -> None:
    async def scenario() -> None:
        async with open_element() as element, listening() as (address, peers):
            flow = await element.endpoint.transport.flow_to("TCP", address)
            assert (await element.endpoint.send(ours(), flow)).status == 408
            assert len(split_stream(bytearray(peers[0].received))) == 1

    run(scenario())


def test_end_of_a_connection_ends_all_that_wait_for_it() -> None:
    """§17.1.4: a 503 of our own, at once."""

    async def scenario() -> None:
        async with open_element() as element, listening() as (address, peers), datagrams() as other:
            flow = await element.endpoint.transport.flow_to("TCP", address)
            elsewhere = await element.endpoint.transport.flow_to("UDP", other.address)
            sending = [asyncio.create_task(element.endpoint.send(ours(), flow)) for _ in range(3)]
            not_concerned = asyncio.create_task(element.endpoint.send(ours(), elsewhere))
            await until(lambda: peers and peers[0].received, "the requests")
            peers[0].transport.close()
            async with asyncio.timeout(5):
                assert [response.status for response in await asyncio.gather(*sending)] == [503] * 3
            assert not not_concerned.done()
            # over what is closed nothing goes out
            assert (await element.endpoint.send(ours(), flow)).status == 503
            not_concerned.cancel()

    run(scenario())


def test_refusal_of_datagrams_ends_who_waits_on_a_socket_of_their_own() -> None:
    async def scenario() -> None:
        async with open_element() as element:
            async with datagrams() as peer:
                nobody = peer.address
            flow = await element.endpoint.transport.connected_udp(nobody)
            async with asyncio.timeout(5):
                assert (await element.endpoint.send(ours(), flow)).status == 503

    run(scenario())


@pytest.mark.usefixtures("_short_timers")
def test_who_gives_up_asks_no_more() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams() as peer:
            flow = await element.endpoint.transport.flow_to("UDP", peer.address)
            sending = asyncio.create_task(element.endpoint.send(ours(), flow))
            await answers(peer)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            count = len(peer.datagrams)
            await asyncio.sleep(10 * T1)
            assert len(peer.datagrams) == count
            peer.transport.sendto(parse(peer.datagrams[0]).answer(200, "t"), element.udp)
            await until(lambda: element.counters.get("dropped.unmatched_response"), "the count")

    run(scenario())


def test_response_to_nothing_we_asked_is_dropped() -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams() as peer:
            flow = await element.endpoint.transport.flow_to("UDP", peer.address)
            sending = asyncio.create_task(element.endpoint.send(ours(), flow))
            (message,) = (await answers(peer))[:1]
            forged = message.answer(200, "t").replace(message.branch.encode(), b"z9hG4bKguessed")
            peer.transport.sendto(forged, element.udp)
            await until(lambda: element.counters.get("dropped.unmatched_response") == 1, "the count")
            assert not sending.done()
            for _ in range(3):  # retransmissions of a response are absorbed
                peer.transport.sendto(message.answer(200, "t"), element.udp)
            assert (await sending).status == 200
            await asyncio.sleep(0.02)
            assert element.counters["dropped.unmatched_response"] == 1

    run(scenario())


# -- ending


@pytest.mark.parametrize("patience", [5.0, 0.1])
def test_drain_takes_nothing_new_and_waits_for_what_is_in_hand(patience: float) -> None:
    async def scenario() -> None:
        async with open_element() as element, datagrams(element.udp) as peer:
            waiting = asyncio.get_running_loop().create_future()
            element.work = lambda incoming: waiting
            peer.transport.sendto(request())
            await until(lambda: element.handled, "the request")
            draining = asyncio.create_task(element.endpoint.drain(patience))
            await asyncio.sleep(0)
            answer = await ask(peer, request(Via="SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-2", Call_ID="2"))
            assert answer.status == 503
            assert int(answer.header("retry-after")) > 0
            if patience > 1:
                assert not draining.done()
                peer.datagrams.clear()
                waiting.set_result(None)
                assert (await answers(peer))[-1].status == 200
            started = asyncio.get_running_loop().time()
            await draining
            assert asyncio.get_running_loop().time() - started < 1
            waiting.cancel()

    run(scenario())


def test_drain_of_an_idle_element_is_over_at_once() -> None:
    async def scenario() -> None:
        async with open_element() as element:
            async with asyncio.timeout(1):
                await element.endpoint.drain(30)

    run(scenario())
