"""The built-in route: REGISTER is saved and answered, MESSAGE relayed or stored, OPTIONS answered."""

import asyncio
import time
from dataclasses import dataclass

import structlog

from sipsilo.endpoint import RETRY_AFTER, Incoming
from sipsilo.proxy.forward import check_forwardable
from sipsilo.proxy.response_context import upstream
from sipsilo.registrar.binding import Binding, Received
from sipsilo.registrar.register import SUPPORTED, Registrar
from sipsilo.routing.carrier import ContactCarrier
from sipsilo.routing.identity import Identity
from sipsilo.routing.relay import Relay
from sipsilo.silo.message import NOT_TRIED, Attempt, NotStorable
from sipsilo.silo.outcome import failed_attempt
from sipsilo.silo.repository import RepositoryError
from sipsilo.silo.silo import Silo
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request, Response
from sipsilo.sip.uri import Aor
from sipsilo.sip.validation import check_required
from sipsilo.transport.flow import bracketed

ALLOW = ("Allow", "REGISTER, MESSAGE, OPTIONS")
_CHALLENGES = frozenset((401, 407))
_OF_OUR_MAKING = frozenset((408, 503, 513))
"""How silence, transport errors and oversize come out of a relay; they have no way upstream in them."""
_SCHEMES = frozenset(("sip", "im", "pres", "tel"))  # §26.2.2: sips needs TLS, which is not here yet
_COMPOSING = "application/im-iscomposing+xml"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class DefaultRoute:
    """What to do with a request, by its method."""

    identity: Identity
    registrar: Registrar
    carrier: ContactCarrier
    relay: Relay
    silo: Silo

    async def __call__(self, incoming: Incoming) -> None:
        """Answer a request."""
        request = incoming.request
        try:
            if request.uri.scheme not in _SCHEMES:
                raise SipError(416, "Unsupported URI Scheme", cause="scheme")  # §8.2.2.1, §16.3 step 2
            check_forwardable(request)
            self.identity.strip_own_routes(request, incoming.flow.own)
            if request.method == "MESSAGE":
                await self._message(incoming)
            elif request.method == "REGISTER":
                await self._register(incoming)
            elif request.method == "OPTIONS":
                check_required(request, SUPPORTED)
                incoming.reply(200, headers=[ALLOW, ("Accept", "*/*"), ("Supported", "path")])
            elif request.method == "CANCEL":
                raise SipError(481, "Call/Transaction Does Not Exist", cause="cancel")  # §9.2: all is answered at once
            else:
                raise SipError(405, "Method Not Allowed", cause="method", headers=(ALLOW,))
        except NotStorable as refusal:
            incoming.reply(refusal.status, refusal.reason)
        except RepositoryError as error:
            log.error("database", method=request.method, error=str(error))
            incoming.reply(503, headers=[RETRY_AFTER])

    # -- REGISTER

    async def _register(self, incoming: Incoming) -> None:
        request = incoming.request
        aor = request.to.uri.aor
        if aor is None or not self.identity.owns(aor):
            raise SipError(404, "Not Found", cause="domain")  # §10.3 step 5
        registered = await self.registrar.register(request, aor, _received(incoming))
        incoming.reply(200, headers=registered.headers)
        if self.carrier.is_bound(aor) and request.get("contact") is not None:
            self.silo.deliver(aor, new_binding=registered.has_new)

    # -- MESSAGE

    async def _message(self, incoming: Incoming) -> None:
        request = incoming.request
        owner = request.uri.aor
        if owner is None or not self.identity.owns(owner) or request.get("route") is not None:
            raise SipError(404, "Not Found", cause="domain")
        if self.carrier.is_ours(request):
            raise SipError(480, "Temporarily Unavailable", cause="circle")
        bindings = self.carrier.bindings(owner)
        if _is_composing(request):
            await self._relay_composing(incoming, bindings)
        elif bindings and not self.silo.is_delivering(owner):
            await self._relay_then_store(incoming, owner, bindings)
        else:
            await self._store(incoming, owner, NOT_TRIED)

    async def _store(self, incoming: Incoming, owner: Aor, attempt: Attempt) -> int:
        mid = await self.silo.store(incoming.request, owner, attempt)
        incoming.reply(202)
        return mid

    async def _relay_then_store(self, incoming: Incoming, owner: Aor, bindings: list[Binding]) -> None:
        relayed = await self.relay.relay(incoming.request, bindings)
        best = relayed.best
        if best is not None and _goes_upstream(best):
            incoming.respond(upstream(best))
            return
        failure = best or incoming.request.response(408)
        mid = await self._store(incoming, owner, failed_attempt(failure, 0, time.time()))
        for branch in relayed.silent:
            branch.add_done_callback(lambda task: self._relayed_late(task, mid))

    def _relayed_late(self, branch: asyncio.Task[Response], mid: int) -> None:
        if not branch.cancelled() and branch.result().status < 300:
            self.silo.delivered_late(mid)

    async def _relay_composing(self, incoming: Incoming, bindings: list[Binding]) -> None:
        """RFC 3994: worthless later, so relayed now or dropped."""
        if not bindings:
            incoming.reply(202)
            return
        best = (await self.relay.relay(incoming.request, bindings)).best
        if best is None or best.status in _OF_OUR_MAKING:
            incoming.reply(480)  # RFC 4320 §4.2 forbids 408; §16.7 step 6: a 503 is not for upstream
        else:
            incoming.respond(upstream(best))


def _goes_upstream(best: Response) -> bool:
    return best.status < 300 or best.status >= 600 or best.status in _CHALLENGES


def _is_composing(request: Request) -> bool:
    content_type = request.get("content-type") or ""
    return content_type.partition(";")[0].strip().lower() == _COMPOSING


def _received(incoming: Incoming) -> Received:
    flow, via = incoming.flow, incoming.request.via
    sent_by = (via.host, via.port or 5060)
    natted = not flow.reliable and sent_by != (bracketed(flow.remote.host), flow.remote.port)
    return Received(flow.transport, flow.local, flow.remote, natted)
