"""Plays a script of events to a transaction layer, and writes down what it says, with the time."""

from collections.abc import Callable, Iterator, Sequence

from sipsilo.sip.message import Request, Response
from sipsilo.transaction.client import ClientTransaction
from sipsilo.transaction.layer import Acknowledge, Ended, Output, Send, TimedOut, Transactions
from sipsilo.transaction.machine import Transaction, TransactionError
from sipsilo.transaction.server import ServerTransaction
from tests.transaction.messages import request, response

Timeline = list[tuple[float, str]]


def play(layer: Transactions, script: Sequence[tuple[float, str]], do: Callable[[str, float], str]) -> Timeline:
    """What happens at which time, rounded to tenths of a second; timers fire as the shell lets them."""
    seen: Timeline = []
    for moment, event in script:
        seen += run_until(layer, moment)
        seen.append((moment, do(event, moment)))
    return seen + run_until(layer, 1000)


def run_until(layer: Transactions, moment: float) -> Timeline:
    """Let the timers fire up to this moment."""
    return [(round(at, 1), told(output)) for at, output in fired(layer, moment)]


def fired(layer: Transactions, moment: float) -> Iterator[tuple[float, Output]]:
    """All outputs up to a moment. The shell sleeps until a deadline, so the next must lie later."""
    while (deadline := layer.next_deadline()) is not None and deadline <= moment:
        for output in layer.advance(deadline):
            yield deadline, output
        following = layer.next_deadline()
        assert following is None or following > deadline


def told(output: Output) -> str:
    match output:
        case Send(_, Response() as message):
            return f"send {message.status}"
        case Send(_, message):
            return f"send {message.start_line.split()[0]}"
        case TimedOut():
            return "timed out"
        case Ended():
            return "ended"


class ServerSide:
    """Events: a method (such a request comes in), or a status (the TU answers with it)."""

    def __init__(self, layer: Transactions, reliable: bool) -> None:
        self.layer = layer
        self.reliable = reliable
        self.transaction: ServerTransaction | None = None

    def __call__(self, event: str, now: float) -> str:
        return self.answer(int(event), now) if event.isdigit() else self.receive(event, now)

    def receive(self, method: str, now: float) -> str:
        received = self.layer.receive_request(request(method), self.reliable, now)
        if isinstance(received, Response):
            return f"send {received.status}"
        if isinstance(received, ServerTransaction):
            self.transaction = received
            return "new"
        return received.name.lower()

    def answer(self, status: int, now: float) -> str:
        assert self.transaction is not None
        try:
            answer = self.layer.reply(self.transaction, status, now)
        except TransactionError:
            return "refused"
        return "too late" if answer is None else f"send {answer.status}"


class ClientSide:
    """Events: a method (such a request is sent), a status (such a response comes in), or "broken"."""

    def __init__(self, layer: Transactions, reliable: bool, method: str) -> None:
        self.layer = layer
        self.reliable = reliable
        self.request: Request = request(method)
        self.transaction: ClientTransaction | None = None

    def __call__(self, event: str, now: float) -> str:
        if event.isdigit():
            return self.receive(int(event), now)
        if self.transaction is None:
            self.transaction = self.layer.start_client(self.request, self.reliable, now)
            return "sent"
        assert event == "broken"
        return "failed" if self.layer.transport_failed(self.transaction, now) else "no matter"

    def receive(self, status: int, now: float) -> str:
        matched = self.layer.receive_response(response(self.request, status), now)
        if isinstance(matched, Transaction):
            return "passed up"
        if isinstance(matched, Acknowledge):
            assert matched.ack.method == "ACK"
            return "ACK, passed up" if matched.is_first else "ACK"
        return matched.name.lower()
