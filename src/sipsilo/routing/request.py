"""The request that a request route or a failure route has in hand, and what can be done with it."""

import asyncio
import time

import structlog

from sipsilo.endpoint import RETRY_AFTER, Incoming
from sipsilo.proxy.forward import has_hops, loop_mark
from sipsilo.proxy.response_context import upstream
from sipsilo.registrar.binding import Binding, Received, RegistrarLimits, apply_register
from sipsilo.registrar.register import Registered
from sipsilo.routing.dump import check_maxmsg, owner_of
from sipsilo.routing.inhand import ALLOW, InHand
from sipsilo.routing.parts import Branch, Reply
from sipsilo.routing.relay import OF_OUR_MAKING, Plan, Relayed, Target, next_hop
from sipsilo.routing.script import Route, run_route
from sipsilo.routing.services import Services
from sipsilo.routing.stored import ACCEPTED, NOBODY, UNAVAILABLE, Stored
from sipsilo.routing.variables import value
from sipsilo.silo.message import NOT_TRIED, Attempt, NotStorable
from sipsilo.silo.outcome import failed_attempt
from sipsilo.silo.repository import RepositoryError
from sipsilo.silo.silo import Silo
from sipsilo.sip import message as sip
from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import Aor, parse_uri
from sipsilo.transport.flow import bracketed

_NOWHERE = Received("UDP", ("", 0), ("", 0), False)
_NOTHING: frozenset[asyncio.Task[sip.Response]] = frozenset()

log = structlog.get_logger(__name__)


class Request(InHand):
    """A request that came in.

    `reply`, `relay`, `save` and `options_reply` answer it, once; a request that a script leaves unanswered
    is answered 404, or 405 for a method that is not MESSAGE, REGISTER or OPTIONS.
    """

    __slots__ = (
        "_attempt",
        "_best",
        "_bindings",
        "_branch_route",
        "_dump",
        "_failure_route",
        "_in_failure_route",
        "_owner",
        "_registered",
        "_reply_route",
        "_silent",
    )

    def __init__(self, services: Services, incoming: Incoming) -> None:
        super().__init__(services, incoming)
        self._bindings: list[Binding] | None = None
        self._owner: Aor | None = None
        self._failure_route: Route | None = None
        self._reply_route: Route | None = None
        self._branch_route: Route | None = None
        self._in_failure_route = False
        self._best: sip.Response | None = None
        self._attempt: Attempt = NOT_TRIED
        self._silent = _NOTHING
        self._registered: Registered | None = None
        self._dump: tuple[Aor, int | None] | None = None

    # -- what becomes of a relay

    @property
    def reply_status(self) -> int:
        """In a failure route the status of the best reply, 408 for silence (`$T_reply_code`); else 0."""
        return 0 if self._best is None else self._best.status

    @property
    def reply_reason(self) -> str:
        """The reason phrase of that reply (`$rr`)."""
        return "" if self._best is None else self._best.reason

    def t_on_failure(self, name: str) -> None:
        """Let a relay that fails go through this failure route."""
        self._failure_route = _known(self._services.script.failures, name, "failure_route")

    def t_on_reply(self, name: str) -> None:
        """Let final replies go through this onreply route."""
        self._reply_route = _known(self._services.script.replies, name, "onreply_route")

    def t_on_branch(self, name: str) -> None:
        """Let each branch go through this branch route."""
        self._branch_route = _known(self._services.script.branches, name, "branch_route")

    def set_uri(self, text: str) -> None:
        """Change the Request-URI (`$ru`); what `lookup` found is forgotten. Raises SipError for what is no URI."""
        super().set_uri(text)
        self._bindings = self._owner = None

    def _answered_with(self, status: int) -> None:
        """Do what m_dump was asked for before the answer."""
        super()._answered_with(status)
        if self._dump is not None and 200 <= status < 300:
            owner, maxmsg = self._dump
            self._dump = None
            self._deliver(owner, maxmsg)

    # -- the registrar

    async def save(self) -> bool:
        """Do what a REGISTER asks for, and answer it: 200, or what is wrong (RFC 3261 §10.3); whether it was 200."""
        self._must_be("REGISTER", "save")
        request = self._transaction.request
        aor = request.to.uri.aor
        try:
            if aor is None or not self._services.identity.owns(aor):
                raise SipError(404, "Not Found", cause="domain")  # §10.3 step 5
            self._registered = await self._services.registrar.register(request, aor, _received(self._transaction))
        except SipError as refusal:
            self._refuse(refusal)
            return False
        except RepositoryError as error:
            log.error("database", method="REGISTER", error=str(error))
            self._answer(503, headers=(RETRY_AFTER,))
            return False
        self._answer(200, headers=self._registered.headers)
        return True

    async def lookup(self) -> bool:
        """Make the Request-URI the contacts that its user has bound; False, and nothing changed, for none.

        Contacts count that take the method. False also for a MESSAGE whose recipient is getting stored ones:
        it is to be stored, and comes behind them.
        """
        owner = parse_uri(self._uri).aor
        if owner is None or not self._services.identity.owns(owner):
            return False
        method = self._transaction.request.method
        if method == "MESSAGE":
            if self._services.silo.is_delivering(owner) and not self.is_composing:
                return False
            bindings = self._services.carrier.bindings(owner)
        else:
            bindings = [binding for binding in self._services.location.lookup(owner) if binding.takes(method)]
        if not bindings:
            return False
        self._uri, self._next_hop = bindings[0].contact, None
        self._bindings, self._owner = bindings, owner
        return True

    # -- relaying

    async def relay(self) -> bool:
        """Send it on, to all contacts that `lookup` found or where its Request-URI points; whether that succeeded.

        Returns when it is answered: with the 2xx, or with what the failure route says, else with the failure.
        """
        request = self._transaction.request
        refusal = self._no_relay()
        if refusal is not None:
            self._refuse(refusal)
            return False
        targets = self._targets()
        sees_replies = self._reply_route is not None or self._services.script.every_reply is not None
        plan = Plan(
            loop_mark(request),
            None if self._branch_route is None else self._see_branch,
            self._see_reply if sees_replies else None,
        )
        relayed = await self._services.relay.relay(self.message, targets, plan)
        best = relayed.best
        if best is not None and best.status < 300:
            self._respond(best)
            return True
        await self._failed(relayed)
        return False

    def _no_relay(self) -> SipError | None:
        """Why it cannot go on, if it cannot."""
        if not has_hops(self.message):
            return SipError(483, "Too Many Hops", cause="hops")  # §16.3 step 3
        if self._transaction.request.method == "INVITE":
            return SipError(405, "Method Not Allowed", cause="method", headers=(ALLOW,))
        if self._bindings is None and self._services.identity.is_own_address(
            next_hop(self.message, Target(self._uri, next_hop=self._next_hop)), self._transaction.flow.own
        ):
            return SipError(482, "Loop Detected", cause="loop")
        return None

    def _targets(self) -> list[Target]:
        if self._bindings is None:
            return [Target(self._uri, next_hop=self._next_hop)]
        return [Target(binding.contact, binding.path, binding, self._next_hop) for binding in self._bindings]

    async def _see_branch(self, copy: sip.Request, target: Target) -> Target | None:
        assert self._branch_route is not None
        branch = Branch(copy, target, self)
        return branch.target() if await run_route(self._branch_route, branch) is None else None

    async def _see_reply(self, response: sip.Response) -> None:
        for route in (self._services.script.every_reply, self._reply_route):
            if route is not None:
                await run_route(route, Reply(response, self))

    async def _failed(self, relayed: Relayed) -> None:
        route, self._failure_route = self._failure_route, None
        if route is not None:
            self._best = relayed.best or self._transaction.request.response(408)
            self._attempt = failed_attempt(self._best, 0, time.time())
            self._silent |= relayed.silent
            was_in_failure_route, self._in_failure_route = self._in_failure_route, True
            error = await run_route(route, self)
            self._in_failure_route = was_in_failure_route
            if error is not None and not self.answered:
                self._answer(500)
        if not self.answered:
            self._pass_up(relayed.best)

    def _pass_up(self, best: sip.Response | None) -> None:
        if best is None or best.status in OF_OUR_MAKING:
            self._answer(480)  # RFC 4320 §4.2 forbids 408; §16.7 step 6: a 503 is not for upstream
        else:
            self._respond(best)

    def _respond(self, response: sip.Response) -> None:
        self._transaction.respond(upstream(response))
        self._answered_with(response.status)

    # -- the silo

    async def m_store(self, owner: str | None = None) -> Stored:
        """Keep a MESSAGE (guide chapter 1.4.1); false when it could not be kept, which is logged.

        `owner`: the URI of whose it is. Without it: the Request-URI, or what that was before `lookup`, if it is
        an address of record of ours; else the To URI. True only once it is committed.
        """
        return await self._store(self._default_owner() if owner is None else owner_of(owner))

    async def m_store_addrs(self, owner: str, src: str, dst: str) -> Stored:
        """Keep a MESSAGE as one from `src` to `dst`, both URIs (Kamailio's function)."""
        try:
            source, destination = parse_uri(src).text, parse_uri(dst).text
        except SipError as error:
            return self._not_stored(Stored(error.status, error.reason))
        return await self._store(owner_of(owner), source, destination)

    def _default_owner(self) -> Aor | None:
        owner = self._owner or parse_uri(self._uri).aor
        return owner if self._services.identity.owns(owner) else self._message.to.uri.aor

    async def _store(self, owner: Aor | None, source: str = "", destination: str = "") -> Stored:
        if self.method != "MESSAGE":
            return self._not_stored(Stored(405, "Method Not Allowed", (ALLOW,)))
        if self.is_composing:
            return ACCEPTED
        if owner is None:
            return self._not_stored(NOBODY)
        # What the relay has shown is true of those to whom it went.
        tried = owner == self._owner or self._owner is None
        try:
            options = self._services.storing.options(self, source, destination)
            mid = await self._services.silo.store(self.message, owner, self._attempt if tried else NOT_TRIED, options)
        except NotStorable as refusal:
            return self._not_stored(Stored(refusal.status, refusal.reason))
        except SipError as mistake:
            return self._not_stored(Stored(mistake.status, mistake.reason, mistake.headers))
        except RepositoryError as error:
            log.error("database", method="MESSAGE", error=str(error))
            return UNAVAILABLE
        if tried and not options.send_time:
            silo = self._services.silo
            for branch in self._silent:
                branch.add_done_callback(lambda task: _relayed_late(task, silo, mid))
            self._silent = _NOTHING
        if not options.send_time:
            self._notify(owner)
        return ACCEPTED

    def _notify(self, owner: Aor) -> None:
        """Tell the sender that the recipient is away, unless the script says not to or the recipient is just back."""
        flag = self._services.storing.skip_notification_flag
        if (flag is None or not self.is_flag_set(flag)) and not self._services.silo.is_delivering(owner):
            self._services.notifier.notify(
                self.message, self._transaction.flow, owner, lambda variable: value(self, variable)
            )

    def _not_stored(self, stored: Stored) -> Stored:
        log.info("not stored", call_id=self.call_id, reason=f"{stored.status} {stored.reason}")
        return stored

    async def m_dump(self, owner: str | None = None, maxmsg: int | None = None) -> bool:
        """Send the owner, by default the To URI, what is stored; at most `maxmsg` (guide chapter 1.4.2).

        It is sent after the 200 to a REGISTER. True even when nothing is stored; False for a bad owner, for a
        REGISTER that leaves nothing bound, and when nothing that is bound takes MESSAGE.
        """
        if self._in_failure_route:
            raise RuntimeError("m_dump is for request, startup, timer and event routes")
        check_maxmsg(maxmsg)
        aor = self._message.to.uri.aor if owner is None else owner_of(owner)
        if aor is None:
            log.info("not dumped", call_id=self.call_id, reason="no address of record")
            return False
        if not self._can_take(aor):
            return False
        if self.method == "REGISTER" and not self.answered:
            self._dump = aor, maxmsg
        else:
            self._deliver(aor, maxmsg)
        return True

    def _can_take(self, owner: Aor) -> bool:
        """Whether there is a way to the owner; a REGISTER must leave a contact for MESSAGEs (SPEC.md chapter 2)."""
        if self.method != "REGISTER":
            return self._services.carrier.reaches(owner)
        if self._message.get("contact") is None or self._final >= 300:
            return False
        if self._registered is not None:
            return self._services.carrier.is_bound(owner)
        return _binds(self._transaction.request)

    def _deliver(self, owner: Aor, maxmsg: int | None) -> None:
        is_new = self._registered is None or self._registered.has_new
        self._services.silo.deliver(owner, new_binding=is_new, limit=maxmsg)


def _known(routes: dict[str, Route], name: str, kind: str) -> Route:
    route = routes.get(name)
    if route is None:
        raise ValueError(f"no {kind}({name!r}); there are: {', '.join(map(repr, routes)) or 'none'}")
    return route


def _received(incoming: Incoming) -> Received:
    flow, via = incoming.flow, incoming.request.via
    sent_by = (via.host, via.port or 5060)
    natted = not flow.reliable and sent_by != (bracketed(flow.remote.host), flow.remote.port)
    return Received(flow.transport, flow.local, flow.remote, natted)


def _binds(register: sip.Request) -> bool:
    """Whether a REGISTER that another registrar saves binds a contact that takes MESSAGE."""
    try:
        change = apply_register((), register, _NOWHERE, 0, RegistrarLimits())
    except SipError:
        return False
    return any(binding.takes("MESSAGE") for binding in change.bindings)


def _relayed_late(branch: asyncio.Task[sip.Response], silo: Silo, mid: int) -> None:
    if not branch.cancelled() and branch.result().status < 300:
        silo.delivered_late(mid)
