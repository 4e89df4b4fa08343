"""One SIP element: transport and transactions put together.

Requests that come in go to a handler, which answers through their `ServerTransaction`; requests that go out
end in one final response.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import lru_cache
from math import inf

import structlog

from sipsilo.counters import Counters
from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import Via, parse_via
from sipsilo.sip.message import Request, Response
from sipsilo.sip.validation import check_request
from sipsilo.transaction.client import ClientTransaction
from sipsilo.transaction.layer import Acknowledge, Ended, Send, TimedOut, Transactions, Verdict
from sipsilo.transaction.machine import TransactionError
from sipsilo.transaction.matching import new_branch
from sipsilo.transaction.server import ServerTransaction
from sipsilo.transaction.timers import TimerValues
from sipsilo.transport.flow import Address, Flow, FlowClosed
from sipsilo.transport.layer import Limits, TransportLayer
from sipsilo.transport.responses import DEFAULT_PORT, response_address, stamp_via
from sipsilo.transport.udp import UdpFlow

MAX_TRANSACTIONS = 1_000_000
"""Server transactions kept for 64*T1 after their answer: 30,000 requests a second, 250 bytes each."""

RETRY_AFTER = ("Retry-After", "5")
"""What an overloaded element asks for (§21.5.4), in seconds."""

log = structlog.get_logger(__name__)


class Incoming:
    """A request that came in, to be answered once with a final response."""

    __slots__ = ("_endpoint", "_transaction", "answered", "flow", "request")

    def __init__(self, endpoint: "Endpoint", transaction: ServerTransaction, flow: Flow) -> None:
        self._endpoint = endpoint
        self._transaction = transaction
        self.request = transaction.request
        self.flow = flow
        self.answered = False

    def reply(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer with a response of ours. Raises TransactionError for a second final one."""
        self.answered = self.answered or status >= 200
        self._endpoint.reply(self._transaction, status, reason, headers, body)

    def reply_statelessly(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer and forget: a retransmission comes as a new request. Raises TransactionError if it is answered."""
        if self.answered:
            raise TransactionError(f"a second answer, {status}, to a {self.request.method}")
        self.answered = True
        self._endpoint.reply_statelessly(self._transaction, status, reason, headers, body)

    def respond(self, response: Response) -> None:
        """Answer with a response from downstream, its Vias being this request's."""
        self.answered = self.answered or response.status >= 200
        self._endpoint.respond(self._transaction, response)


Handler = Callable[[Incoming], Coroutine[None, None, None]]

Onlooker = Callable[[Request, Flow], Coroutine[None, None, None]]
"""Sees a request of our own before it is sent, and may change its headers."""


async def _only_asks(incoming: Incoming) -> None:
    incoming.reply(503)


class Endpoint:
    """Set its handler, let its transport `listen`; send requests with `send`."""

    def __init__(
        self, handler: Handler = _only_asks, limits: Limits | None = None, timers: TimerValues | None = None
    ) -> None:
        self.counters = Counters()
        self.transport = TransportLayer(self, self.counters.add, limits)
        self.handler = handler
        self.onlooker: Onlooker | None = None
        self._transactions = Transactions(timers, limit=MAX_TRANSACTIONS)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = inf
        self._in_hand: set[asyncio.Task[None]] = set()
        self._draining = False
        # the client transactions over each connection, which fail with it
        self._waiting: dict[Flow, set[ClientTransaction]] = {}

    # -- what the transport brings (transport.flow.Receiver)

    def message_received(self, message: Request | Response, flow: Flow) -> None:
        """Take a message from a flow."""
        try:
            if isinstance(message, Request):
                self._request_received(message, flow)
            else:
                self._response_received(message)
        except SipError as error:
            self.error_received(error, flow)

    def error_received(self, error: SipError, flow: Flow) -> None:
        """Answer a bad request if that can be done, else drop it; count it either way."""
        request = error.request
        if request is None or request.method == "ACK" or request.get("via") is None:
            self.counters.add(f"dropped.{error.cause}")
            return
        self.counters.add(f"refused.{error.cause}")
        try:
            stamp_via(request, flow.remote)
        except SipError:
            self.counters.add("dropped.via")
            return
        self._answer_statelessly(request, flow, error.status, error.reason, error.headers)

    def flow_closed(self, flow: Flow) -> None:
        """Let those fail at once who wait for an answer over this flow (§17.1.4)."""
        for transaction in self._waiting.pop(flow, ()):
            self._fail(transaction)

    def _request_received(self, request: Request, flow: Flow) -> None:
        check_request(request)
        stamp_via(request, flow.remote)
        now = self._loop.time()
        received = self._transactions.receive_request(request, flow.reliable, now, flow)
        if isinstance(received, ServerTransaction):
            self._start(received, flow)
        elif isinstance(received, Response):
            self.counters.add("retransmissions.answered")
            self._send_response(received, flow)
        elif received is Verdict.MERGED:
            self._answer_statelessly(request, flow, 482, "Merged Request")
        elif received is Verdict.FULL:
            self.counters.add("refused.overload")
            self._answer_statelessly(request, flow, 503, None, [RETRY_AFTER])
        else:
            self.counters.add("retransmissions.absorbed")

    def _start(self, transaction: ServerTransaction, flow: Flow) -> None:
        self._arm()
        if self._draining:
            self.reply(transaction, 503, None, [RETRY_AFTER], b"")
            return
        self._spawn(self._handle(Incoming(self, transaction, flow)))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._in_hand.add(self._loop.create_task(work))

    def _done(self) -> None:
        """To be called at the end of what `_spawn` started: cheaper than a callback, which costs a turn of the loop."""
        self._in_hand.discard(asyncio.current_task())

    async def _handle(self, incoming: Incoming) -> None:
        """Every request ends in exactly one final response."""
        try:
            await self.handler(incoming)
        except SipError as error:
            self.counters.add(f"refused.{error.cause}")
            if not incoming.answered:
                incoming.reply(error.status, error.reason, error.headers)
        except Exception:
            request = incoming.request
            log.exception("request failed", method=request.method, call_id=request.get("call-id"))
            if not incoming.answered:
                incoming.reply(500)
        finally:
            self._done()

    def _response_received(self, response: Response) -> None:
        matched = self._transactions.receive_response(response, self._loop.time())
        if isinstance(matched, Acknowledge):
            matched = self._acknowledge(matched)
        if isinstance(matched, ClientTransaction):
            exchange = matched.context
            assert isinstance(exchange, _Exchange)
            if response.status >= 200 and not exchange.final.done():
                exchange.final.set_result(response)
        elif matched is Verdict.UNMATCHED:
            self.counters.add("dropped.unmatched_response")

    def _acknowledge(self, matched: Acknowledge) -> ClientTransaction | Verdict:
        exchange = matched.transaction.context
        assert isinstance(exchange, _Exchange)
        try:
            exchange.flow.send(matched.ack.to_bytes())
        except FlowClosed:
            self.counters.add("dropped.flow_closed")
        return matched.transaction if matched.is_first else Verdict.ABSORBED

    # -- answering

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str | None,
        headers: Iterable[tuple[str, str]],
        body: bytes,
    ) -> None:
        """Answer a request with a response of ours."""
        now = self._loop.time()
        response = self._transactions.reply(transaction, status, now, reason=reason, headers=headers, body=body)
        self._send_answer(transaction, response)

    def reply_statelessly(
        self,
        transaction: ServerTransaction,
        status: int,
        reason: str | None,
        headers: Iterable[tuple[str, str]],
        body: bytes,
    ) -> None:
        """Answer a request with a response of ours, and keep nothing of either."""
        assert isinstance(transaction.context, Flow)
        self._transactions.forget_server(transaction)
        self._answer_statelessly(transaction.request, transaction.context, status, reason, headers, body)

    def respond(self, transaction: ServerTransaction, response: Response) -> None:
        """Answer a request with a response that came from downstream."""
        self._send_answer(transaction, self._transactions.respond(transaction, response, self._loop.time()))

    def _send_answer(self, transaction: ServerTransaction, response: Response | None) -> None:
        if response is not None:
            assert isinstance(transaction.context, Flow)
            self._send_response(response, transaction.context, transaction.request.via)

    def _answer_statelessly(
        self,
        request: Request,
        flow: Flow,
        status: int,
        reason: str | None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        self._send_response(self._transactions.stateless_response(request, status, reason, headers, body), flow)

    def _send_response(self, response: Response, flow: Flow, via: Via | None = None) -> None:
        """The way back of §18.2.2: the connection it came on, or by the Via over the same UDP socket."""
        try:
            if isinstance(flow, UdpFlow):
                flow = UdpFlow(flow.socket, response_address(via or response.via, flow.remote))
            elif flow.closed:
                self._send_over_new_connection(response, flow)
                return
            flow.send(response.to_bytes())
        except (FlowClosed, SipError):
            self.counters.add("dropped.flow_closed")

    def _send_over_new_connection(self, response: Response, flow: Flow) -> None:
        # §18.2.2: "if that connection attempt fails", the sent-by port of the received address is next
        remote = Address(flow.remote.host, response.via.port or DEFAULT_PORT)
        self._spawn(self._deliver_response(response, flow.transport, remote))

    async def _deliver_response(self, response: Response, transport: str, remote: Address) -> None:
        try:
            (await self.transport.flow_to(transport, remote)).send(response.to_bytes())
        except FlowClosed:
            self.counters.add("dropped.flow_closed")
        finally:
            self._done()

    # -- asking

    async def send(
        self, request: Request, flow: Flow, branch: str | None = None, retransmit_for: float = inf, *, own: bool = True
    ) -> Response:
        """Send a request with a new topmost Via over a flow; the final response.

        Silence ends as a 408, a transport error as a 503 of our own making (§8.1.3.1). The request's Via is
        added here; everything else must be in it, the Content-Length too. After `retransmit_for` seconds it
        is not sent again, but a response still counts. The onlooker sees it if it is our `own`.
        """
        if own and self.onlooker is not None:
            await self.onlooker(request, flow)
        request.push_via(_new_via(flow, branch or new_branch()))
        exchange = _Exchange(flow, self._loop.create_future(), self._loop.time() + retransmit_for)
        transaction = self._transactions.start_client(request, flow.reliable, self._loop.time(), exchange)
        self._arm()
        try:
            flow.send(request.to_bytes())
        except FlowClosed:
            self._fail(transaction)
        waiting = self._waiting.setdefault(flow, set()) if flow.connected else set()
        waiting.add(transaction)
        try:
            return await exchange.final
        finally:
            if exchange.final.cancelled():
                self._transactions.forget(transaction)
            waiting.discard(transaction)
            if not waiting and flow.connected:
                self._waiting.pop(flow, None)

    def _fail(self, transaction: ClientTransaction) -> None:
        if self._transactions.transport_failed(transaction, self._loop.time()):
            self._conclude(transaction, 503)

    def _conclude(self, transaction: ClientTransaction, status: int) -> None:
        exchange = transaction.context
        assert isinstance(exchange, _Exchange)
        if not exchange.final.done():
            exchange.final.set_result(transaction.request.response(status))

    # -- time

    def _arm(self) -> None:
        deadline = self._transactions.next_deadline()
        if deadline is None or self._armed_for <= deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = deadline
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer, self._armed_for = None, inf
        for output in self._transactions.advance(self._loop.time()):
            if isinstance(output, Send):
                self._send_again(output)
            elif isinstance(output, TimedOut) and isinstance(output.transaction, ClientTransaction):
                self._conclude(output.transaction, 408)
            elif isinstance(output, Ended) and isinstance(output.transaction, ServerTransaction):
                self.counters.add("dropped.unanswered")
        self._arm()

    def _send_again(self, output: Send) -> None:
        if isinstance(output.message, Response):
            assert isinstance(output.transaction.context, Flow)
            self._send_response(output.message, output.transaction.context)
            return
        exchange = output.transaction.context
        assert isinstance(exchange, _Exchange) and isinstance(output.transaction, ClientTransaction)
        if self._loop.time() > exchange.retransmit_until:
            return
        self.counters.add("retransmissions.sent")
        try:
            exchange.flow.send(output.message.to_bytes())
        except FlowClosed:
            self._fail(output.transaction)

    # -- ending

    async def drain(self, timeout: float) -> None:
        """Take no new requests (503) and connections; let those in hand end, for at most `timeout` seconds."""
        self._draining = True
        self.transport.stop_listening()
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=timeout)

    async def close(self) -> None:
        """Close all sockets."""
        for task in list(self._in_hand):
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await self.transport.close()


@lru_cache(maxsize=4096)
def _sent_by(text: str) -> tuple[str, int | None]:
    via = parse_via(f"SIP/2.0/UDP {text}")
    return via.host, via.port


def _new_via(flow: Flow, branch: str) -> Via:
    return Via(flow.transport, *_sent_by(flow.sent_by), (("branch", branch), ("rport", None)))


class _Exchange:
    """A request of ours under way: where it was sent, and who waits for its final response."""

    __slots__ = ("final", "flow", "retransmit_until")

    def __init__(self, flow: Flow, final: asyncio.Future[Response], retransmit_until: float) -> None:
        self.flow = flow
        self.final = final
        self.retransmit_until = retransmit_until
