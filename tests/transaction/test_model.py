"""Any sequence of requests, retransmissions, responses and pauses, against a model of what RFC 3261 §17 says.

The times in it are quarters of a second, so that timers and events never differ by less than a tick.
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sipsilo.sip.message import Response
from sipsilo.transaction.client import ClientTransaction
from sipsilo.transaction.layer import Acknowledge, Ended, Output, Send, TimedOut, Transactions, Verdict
from sipsilo.transaction.machine import TransactionError
from sipsilo.transaction.server import InviteServer, ServerTransaction
from tests.transaction.messages import request, response
from tests.transaction.timeline import fired

LIFETIME = 32.0
TRYING_AFTER = 3.5
PAUSES = st.sampled_from([0.25, 0.5, 1, 3, 4, 8, 27, 28, 32, 40])
FINAL = st.sampled_from([200, 202, 404, 486, 503, 600])
NAMES = st.integers(0, 2)
PATHS = st.integers(0, 1)


@dataclass
class Server:
    """A non-INVITE server transaction as it should be."""

    identity: int
    transaction: ServerTransaction
    began: float
    reliable: bool
    status: int | None = None
    to_tag: str | None = None
    ends: float = 0


@dataclass
class Client:
    """A non-INVITE client transaction as it should be."""

    transaction: ClientTransaction
    began: float
    reliable: bool
    repeats: list[float] = field(default_factory=list)
    """When Timer E is to fire."""
    status: int | None = None
    ends: float = 0


def timer_e(first: float, interval: float, until: float) -> list[float]:
    """§17.1.2.2: the interval doubles up to T2, until Timer F."""
    times = []
    while first < until:
        times.append(first)
        first += interval
        interval = min(2 * interval, 4)
    return times


class NonInvite(RuleBasedStateMachine):
    """The TU sees each request once; each response goes where it belongs; all is over when its timers are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = Transactions(limit=100)
        self.servers: dict[tuple[int, int], Server] = {}
        self.unanswered: list[Server] = []
        self.clients: dict[int, Client] = {}
        self.now = 0.0

    @initialize(start=st.sampled_from([0.0, 1000.25, 1_000_000.5]))
    def start(self, start: float) -> None:
        self.now = start

    # -- server side

    @rule(identity=NAMES, path=PATHS, reliable=st.booleans())
    def request_comes_in(self, identity: int, path: int, reliable: bool) -> None:
        message = request(branch=f"z9hG4bK-{path}{identity}", call_id=f"call-{identity}")
        received = self.layer.receive_request(message, reliable, self.now)
        known = self.servers.get((identity, path))
        if known is None:
            if any(server.identity == identity for server in self.servers.values()):
                assert received is Verdict.MERGED
            else:
                assert isinstance(received, ServerTransaction)
                server = Server(identity, received, self.now, reliable, ends=self.now + LIFETIME)
                self.servers[identity, path] = server
                self.unanswered.append(server)
        elif known.status is None:
            assert received is Verdict.ABSORBED
        else:
            assert isinstance(received, Response)
            assert received.status == known.status
            assert received.to.tag == known.to_tag

    @rule(status=FINAL, choice=st.integers(0, 5))
    def user_answers(self, status: int, choice: int) -> None:
        if not self.unanswered:
            return
        server = self.unanswered.pop(choice % len(self.unanswered))
        answer = self.layer.reply(server.transaction, status, self.now)
        if self.now >= server.ends:
            assert answer is None
            return
        assert answer is not None
        self.refuse_a_second_answer(server.transaction)
        server.status, server.to_tag = status, answer.to.tag
        server.ends = self.now if server.reliable else self.now + LIFETIME
        self.let_end()

    def refuse_a_second_answer(self, transaction: ServerTransaction) -> None:
        try:
            self.layer.reply(transaction, 500, self.now)
        except TransactionError:
            return
        raise AssertionError("two final responses to one request")

    # -- client side

    @rule(name=NAMES, reliable=st.booleans())
    def user_sends(self, name: int, reliable: bool) -> None:
        if name in self.clients:
            return
        transaction = self.layer.start_client(request(branch=f"z9hG4bK-{name}"), reliable, self.now)
        repeats = [] if reliable else timer_e(self.now + 0.5, 1, self.now + LIFETIME)
        self.clients[name] = Client(transaction, self.now, reliable, repeats, ends=self.now + LIFETIME)

    @rule(name=NAMES, status=st.one_of(st.just(100), FINAL))
    def response_comes_in(self, name: int, status: int) -> None:
        matched = self.layer.receive_response(response(request(branch=f"z9hG4bK-{name}"), status), self.now)
        client = self.clients.get(name)
        if client is None:
            assert matched is Verdict.UNMATCHED
        elif client.status is not None and client.status >= 200:
            assert matched is Verdict.ABSORBED
        else:
            assert matched is client.transaction
            client.status = status
            if status >= 200:
                client.ends = self.now if client.reliable else self.now + 5
                client.repeats = []
                self.let_end()
            elif client.repeats:  # §17.1.2.2: every T2 from the next on
                client.repeats = timer_e(client.repeats[0], 4, client.ends)

    @rule(name=NAMES)
    def user_forgets(self, name: int) -> None:
        client = self.clients.get(name)
        if client is not None and (client.status or 0) < 200:
            self.layer.forget(client.transaction)
            del self.clients[name]

    # -- time

    @rule(pause=PAUSES)
    def time_passes(self, pause: float) -> None:
        until = self.now + pause
        expected = sorted(self.expected(self.now, until))
        seen = sorted((at, self.tell(output)) for at, output in fired(self.layer, until))
        assert seen == expected
        self.now = until
        self.let_end()

    def expected(self, since: float, until: float) -> list[tuple[float, str]]:
        events = []
        for (identity, path), server in self.servers.items():
            if server.status is None or server.status < 200:
                name = f"server {path}{identity}"
                events += [(server.began + TRYING_AFTER, f"100 {name}"), (server.ends, f"end {name}")]
        for key, client in self.clients.items():
            events += [(at, f"repeat client {key}") for at in client.repeats]
            if client.status is None or client.status < 200:
                events.append((client.ends, f"timeout client {key}"))
        return [event for event in events if since < event[0] <= until]

    def tell(self, output: Output) -> str:
        transaction = output.transaction
        key = transaction.request.via.branch
        assert key is not None
        key = key.removeprefix("z9hG4bK-")
        match output:
            case Send(message=Response() as message):
                next(s for s in self.unanswered if s.transaction is transaction).status = 100
                return f"{message.status} server {key}"
            case Send():
                return f"repeat client {key}"
            case TimedOut():
                return f"timeout client {key}"
            case Ended():
                return f"end server {key}"

    def let_end(self) -> None:
        self.servers = {key: server for key, server in self.servers.items() if server.ends > self.now}
        self.clients = {key: client for key, client in self.clients.items() if client.ends > self.now}
        for client in self.clients.values():
            client.repeats = [at for at in client.repeats if at > self.now]

    @invariant()
    def nothing_outlives_its_timers(self) -> None:
        assert self.layer.server_count == len(self.servers)
        assert self.layer.client_count == len(self.clients)

    @invariant()
    def deadlines_lie_ahead(self) -> None:
        deadline = self.layer.next_deadline()
        assert deadline is None or deadline > self.now
        assert deadline is not None or (not self.servers and not self.clients)

    def teardown(self) -> None:
        self.layer.advance(self.now + 100)
        assert self.layer.server_count == self.layer.client_count == 0
        assert self.layer.next_deadline() is None
        assert not self.layer._merge_identities


class Invite(RuleBasedStateMachine):
    """A caller and a callee, between whom messages are lost, repeated and out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.caller = Transactions(limit=10)
        self.callee = Transactions(limit=10)
        self.now = 0.0
        self.reliable = False
        self.finals: list[int] = []
        self.server: ServerTransaction | None = None

    @initialize(reliable=st.booleans())
    def call(self, reliable: bool) -> None:
        self.reliable = reliable
        self.invite = request("INVITE")
        self.caller.start_client(self.invite, reliable, self.now)

    @rule()
    def invite_arrives(self) -> None:
        received = self.callee.receive_request(request("INVITE"), self.reliable, self.now)
        if isinstance(received, InviteServer):
            self.server = received

    @rule(status=st.sampled_from([100, 180, 183, 200, 302, 486, 600]))
    def callee_answers(self, status: int) -> None:
        if self.server is None:
            return
        state = self.server.state
        try:
            answer = self.callee.reply(self.server, status, self.now)
        except TransactionError:
            assert state.name in ("ACCEPTED", "COMPLETED", "CONFIRMED", "TERMINATED")
            return
        assert answer is not None
        assert state.name in ("TRYING", "PROCEEDING") or (state.name == "ACCEPTED" and status == 200)

    @rule(status=st.sampled_from([100, 180, 200, 302, 486]))
    def response_arrives(self, status: int) -> None:
        matched = self.caller.receive_response(response(self.invite, status), self.now)
        if isinstance(matched, Acknowledge):
            assert status >= 300
            if matched.is_first:
                self.finals.append(status)
            self.callee.receive_request(matched.ack, self.reliable, self.now)
        elif isinstance(matched, ClientTransaction):
            assert status < 300
            if status == 200:
                self.finals.append(status)

    @rule(pause=PAUSES)
    def time_passes(self, pause: float) -> None:
        self.now += pause
        for layer in (self.caller, self.callee):
            for at, output in fired(layer, self.now):
                assert at <= self.now
                if isinstance(output, Send):
                    assert not (self.reliable and output.message.start_line.startswith("INVITE"))

    @invariant()
    def one_outcome(self) -> None:
        # Either one failure, or any number of 2xx (RFC 6026 §7.2).
        assert set(self.finals) <= {200} or len(self.finals) == 1

    @invariant()
    def deadlines_lie_ahead(self) -> None:
        for layer in (self.caller, self.callee):
            deadline = layer.next_deadline()
            assert deadline is None or deadline > self.now

    def teardown(self) -> None:
        if self.server is not None and self.server.state.name in ("TRYING", "PROCEEDING"):
            self.callee.reply(self.server, 500, self.now)
        list(fired(self.callee, self.now + 100))
        assert self.callee.server_count == 0
        assert self.callee.next_deadline() is None
        self.caller.receive_response(response(self.invite, 500), self.now)
        list(fired(self.caller, self.now + 100))
        assert self.caller.client_count == 0
        assert self.caller.next_deadline() is None


TestNonInvite = NonInvite.TestCase
TestNonInvite.settings = settings(stateful_step_count=50)
TestInvite = Invite.TestCase
TestInvite.settings = settings(stateful_step_count=50)
