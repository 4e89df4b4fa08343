"""The transaction layer: finds the transaction of each message, and runs the timers of all of them.

Its user, the shell, owns sockets and clock. It hands in messages and the time, sends what it is given back,
and calls `advance` when `next_deadline` has come.
"""

from collections.abc import Iterable
from enum import Enum, auto
from hashlib import blake2b
from math import inf
from secrets import token_bytes
from typing import NamedTuple

from sipsilo.sip.message import Request, Response
from sipsilo.transaction.client import ClientTransaction, InviteClient, NonInviteClient
from sipsilo.transaction.machine import Transaction, TransactionError
from sipsilo.transaction.matching import ack_keys, client_key, is_acknowledged_by, merge_identity, server_key
from sipsilo.transaction.server import Answer, InviteServer, NonInviteServer, ServerTransaction, trying
from sipsilo.transaction.tables import COMPLETED, REQUEST, TERMINATED, Action, Event
from sipsilo.transaction.timers import Deadlines, TimerValues

_SHARED_ANSWERS = 256
"""Different answers that are kept once for all transactions: 202, 200, 404, 405 with their headers …"""


class Verdict(Enum):
    """What a message is that concerns no user of a transaction."""

    ABSORBED = auto()
    """A retransmission, or the ACK to a final response other than 2xx: nothing to do."""
    ACK = auto()
    """An ACK that is no transaction's: it acknowledges a 2xx, and is the TU's, or nobody's."""
    MERGED = auto()
    """A request that is here already over another path: to be answered 482 (§8.2.2.2)."""
    FULL = auto()
    """A new request beyond the limit: to be answered 503."""
    UNMATCHED = auto()
    """A response to nothing we asked: to be dropped (RFC 6026 §7.2, RFC 4320 §4.3)."""


# For each message, as in `tables`.
_ABSORBED, _UNMATCHED = Verdict.ABSORBED, Verdict.UNMATCHED


class Acknowledge(NamedTuple):
    """A response to an INVITE whose ACK is to be sent where the INVITE went; the TU gets it if `is_first`."""

    transaction: InviteClient
    ack: Request
    is_first: bool


class Send(NamedTuple):
    """Send the message: a retransmission, or a 100."""

    transaction: Transaction
    message: Request | Response


class TimedOut(NamedTuple):
    """It is over: no final response came, to be treated as a 408 (§8.1.3.1), or no ACK to ours (§17.2.1)."""

    transaction: Transaction


class Ended(NamedTuple):
    """A timer has ended it, of which its user need not know, except that a request other than INVITE must not
    be answered any more."""

    transaction: Transaction


Received = ServerTransaction | Response | Verdict
Matched = ClientTransaction | Acknowledge | Verdict
Output = Send | TimedOut | Ended


class Transactions:
    """All transactions of one SIP element.

    Times are seconds of any clock that never goes back. `limit` bounds the server transactions, the answered
    ones included that wait for retransmissions (about 250 bytes each, for 64*T1, unless the transport is
    reliable).
    """

    def __init__(self, values: TimerValues | None = None, *, limit: int) -> None:
        values = values or TimerValues()
        self._limit = limit
        self._schedules = values.schedule(reliable=False), values.schedule(reliable=True)
        self._tag_secret = token_bytes(16)
        # A non-INVITE transaction in state Completed is an Answer (server) or ABSORBED (client).
        self._servers: dict[str, ServerTransaction | Answer] = {}
        self._clients: dict[str, ClientTransaction | Verdict] = {}
        self._merge_identities: set[int] = set()
        self._shared_answers: dict[Answer, Answer] = {}
        self._server_deadlines: Deadlines[str] = Deadlines(values.tick)
        self._client_deadlines: Deadlines[str] = Deadlines(values.tick)
        # Keys, and merge identities, to be forgotten when Timer J or K fires.
        self._completed_servers: Deadlines[str | int] = Deadlines(values.tick)
        self._completed_clients: Deadlines[str] = Deadlines(values.tick)

    @property
    def server_count(self) -> int:
        """Server transactions, answered ones included."""
        return len(self._servers)

    @property
    def client_count(self) -> int:
        """Client transactions, answered ones included."""
        return len(self._clients)

    # -- server side

    def receive_request(self, request: Request, reliable: bool, now: float, context: object = None) -> Received:
        """Find out what a request is.

        A transaction: a new request, to be handled and answered with `reply` or `respond`. A Response: a
        retransmission, to be answered with just this. Else see `Verdict`. `reliable` tells the transport.
        Raises SipError(400) when the headers that tell cannot be read.
        """
        if request.method == "ACK":
            return self._receive_ack(request, now)
        key = server_key(request)
        entry = self._servers.get(key)
        if entry is not None:
            return self._receive_again(entry, key, request, now)
        if len(self._servers) >= self._limit:
            return Verdict.FULL
        identity = merge_identity(request)
        if identity in self._merge_identities:
            return Verdict.MERGED
        kind = InviteServer if request.method == "INVITE" else NonInviteServer
        transaction = kind(key, identity, request, self._schedules[reliable], context, now)
        self._servers[key] = transaction
        if identity is not None:
            self._merge_identities.add(identity)
        _wait(transaction, self._server_deadlines)
        return transaction

    def _receive_again(
        self, entry: ServerTransaction | Answer, key: str, request: Request, now: float
    ) -> Response | Verdict:
        if isinstance(entry, Answer):
            return entry.to(request, self._tag(key))
        actions = entry.take(REQUEST, now)
        if actions and Action.RESEND in actions and entry.response is not None:
            return entry.response
        return Verdict.ABSORBED

    def _receive_ack(self, ack: Request, now: float) -> Verdict:
        for key in ack_keys(ack):
            entry = self._servers.get(key)
            if not isinstance(entry, InviteServer) or entry.response is None:
                continue
            if is_acknowledged_by(key, entry.response, ack):
                actions = entry.take(Event.ACK, now)
                self._settle_server(entry)
                return Verdict.ACK if actions and Action.PASS_UP in actions else Verdict.ABSORBED
        return Verdict.ACK

    def reply(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response | None:
        """Answer a request ourselves, with a To tag of ours (none in a 100, §17.2.1).

        Returns the response to send, None when the client has given up (RFC 4320 §4.2). Raises
        TransactionError as `respond` does.
        """
        headers = tuple(headers)
        tag = None if status == 100 else self._tag(transaction.key)
        response = transaction.request.response(status, reason, to_tag=tag, headers=headers, body=body)
        if not transaction.answer(response, now):
            return None
        if _is_completed(transaction):
            self._complete_server(transaction, self._share(Answer(status, response.reason, None, headers, body)))
        else:
            self._settle_server(transaction)
        return response

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> Response | None:
        """Answer a request with a response that came from elsewhere, whose To tag is kept.

        Returns the response to send, None when the client has given up. Raises TransactionError for a second
        final response, for a provisional one or a 408 to other requests than INVITE (RFC 4320 §4.1, §4.2: the
        100 that it may need comes from `advance`); SipError(400) when its To cannot be read.
        """
        answer = Answer.of(response)
        if not transaction.answer(response, now):
            return None
        if _is_completed(transaction):
            self._complete_server(transaction, answer)
        else:
            self._settle_server(transaction)
        return response

    def _complete_server(self, transaction: ServerTransaction, answer: Answer) -> None:
        forget_at = transaction.next_timer()
        self._servers[transaction.key] = answer
        self._completed_servers.add(forget_at, transaction.key)
        if transaction.merge_identity is not None:
            self._completed_servers.add(forget_at, transaction.merge_identity)

    def _share(self, answer: Answer) -> Answer:
        if len(self._shared_answers) >= _SHARED_ANSWERS:
            self._shared_answers.clear()
        return self._shared_answers.setdefault(answer, answer)

    def stateless_response(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """A response outside any transaction: the same To tag for the same request (§8.2.7). Never raises."""
        tag = self._tag(f"{request.get('via')} {request.get('call-id')} {request.get('cseq')}")
        return request.response(status, reason, to_tag=tag, headers=headers, body=body)

    def forget_server(self, transaction: ServerTransaction) -> None:
        """Drop a server transaction that is answered statelessly: a retransmission is a new request."""
        if self._servers.get(transaction.key) is transaction:
            transaction.state = TERMINATED
            self._settle_server(transaction)

    def _tag(self, text: str) -> str:
        # §19.3: at least 32 random bits. Made from the key, a tag need not be kept.
        data = self._tag_secret + text.encode("utf-8", "surrogateescape")
        return blake2b(data, digest_size=8).hexdigest()

    def _settle_server(self, transaction: ServerTransaction) -> None:
        """After a step: wait for the next timer, or forget the transaction."""
        if transaction.state is TERMINATED:
            del self._servers[transaction.key]
            if transaction.merge_identity is not None:
                self._merge_identities.remove(transaction.merge_identity)
        else:
            _wait(transaction, self._server_deadlines)

    # -- client side

    def start_client(self, request: Request, reliable: bool, now: float, context: object = None) -> ClientTransaction:
        """Begin a transaction for a request, which the caller sends once; `advance` tells when again.

        Its topmost Via holds a new branch (`matching.new_branch`). Raises TransactionError for a branch in
        use or missing, and for ACK, which has no transaction (§17.1).
        """
        branch = request.via.branch
        key = client_key(request.method, branch)
        if branch is None or key in self._clients or request.method == "ACK":
            raise TransactionError(f"no transaction for {key}")
        kind = InviteClient if request.method == "INVITE" else NonInviteClient
        transaction = kind(key, request, self._schedules[reliable], context, now)
        self._clients[key] = transaction
        _wait(transaction, self._client_deadlines)
        return transaction

    def receive_response(self, response: Response, now: float) -> Matched:
        """Find out what a response is.

        A transaction: the response is for its user. An Acknowledge: an ACK is to be sent. Else see `Verdict`.
        Raises SipError(400) when its Via or CSeq cannot be read.
        """
        key = client_key(response.cseq.method, response.via.branch)
        entry = self._clients.get(key, _UNMATCHED)
        if isinstance(entry, Verdict):
            return entry
        actions = entry.take(entry.event(response.status), now)
        if not actions:
            return Verdict.ABSORBED
        if _is_completed(entry):
            self._clients[key] = _ABSORBED
            self._completed_clients.add(entry.next_timer(), key)
        else:
            self._settle_client(entry)
        if isinstance(entry, InviteClient) and Action.SEND_ACK in actions:
            return Acknowledge(entry, entry.acknowledge(response), Action.PASS_UP in actions)
        return entry

    def transport_failed(self, transaction: ClientTransaction, now: float) -> bool:
        """Tell that a request or an ACK could not be sent (§17.1.4).

        True: the transaction is over, to be treated as a 503 (§8.1.3.1). False: it does not matter any more.
        A response that could not be sent is not told: server transactions go on (RFC 6026 §7.1).
        """
        if not transaction.take(Event.TRANSPORT_ERROR, now):
            return False
        self._settle_client(transaction)
        return True

    def forget(self, transaction: ClientTransaction) -> None:
        """Drop a client transaction: no more retransmissions, a response that comes is unmatched."""
        if self._clients.get(transaction.key) is transaction:
            transaction.state = TERMINATED
            self._settle_client(transaction)

    def _settle_client(self, transaction: ClientTransaction) -> None:
        if transaction.state is TERMINATED:
            del self._clients[transaction.key]
        else:
            _wait(transaction, self._client_deadlines)

    # -- time

    def next_deadline(self) -> float | None:
        """When to call `advance`, None for no need to. May be earlier than anything happens."""
        moment = min(
            self._server_deadlines.next(),
            self._client_deadlines.next(),
            self._completed_servers.next(),
            self._completed_clients.next(),
        )
        return None if moment == inf else moment

    def advance(self, now: float) -> list[Output]:
        """Let the timers fire that are due; returns what they bring about."""
        outputs: list[Output] = []
        for item in self._completed_servers.due(now):
            if isinstance(item, str):
                del self._servers[item]
            else:
                self._merge_identities.remove(item)
        for key in self._completed_clients.due(now):
            del self._clients[key]
        for key in self._server_deadlines.due(now):
            server = self._servers.get(key)
            if isinstance(server, ServerTransaction):
                self._fire_server(server, now, outputs)
        for key in self._client_deadlines.due(now):
            client = self._clients.get(key)
            if isinstance(client, ClientTransaction):
                self._fire_client(client, now, outputs)
        return outputs

    def _fire_server(self, transaction: ServerTransaction, now: float, outputs: list[Output]) -> None:
        actions = transaction.fire(now)
        if Action.SEND_TRYING in actions:
            transaction.response = trying(transaction.request)
        if transaction.response is not None and (Action.SEND_TRYING in actions or Action.RESEND in actions):
            outputs.append(Send(transaction, transaction.response))
        self._settle_server(transaction)
        _tell_end(transaction, actions, outputs)

    def _fire_client(self, transaction: ClientTransaction, now: float, outputs: list[Output]) -> None:
        actions = transaction.fire(now)
        if Action.RESEND in actions:
            outputs.append(Send(transaction, transaction.request))
        self._settle_client(transaction)
        _tell_end(transaction, actions, outputs)


def _is_completed(transaction: Transaction) -> bool:
    """Whether a short record can take the transaction's place: nothing is left but to absorb."""
    return transaction.state is COMPLETED and isinstance(transaction, (NonInviteServer, NonInviteClient))


def _wait(transaction: Transaction, deadlines: Deadlines[str]) -> None:
    timer = transaction.next_timer()
    if timer != transaction.waits_for:
        transaction.waits_for = timer
        if timer != inf:
            deadlines.add(timer, transaction.key)


def _tell_end(transaction: Transaction, actions: tuple[Action, ...], outputs: list[Output]) -> None:
    if transaction.state is TERMINATED:
        outputs.append(TimedOut(transaction) if Action.TIMED_OUT in actions else Ended(transaction))
