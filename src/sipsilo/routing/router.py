"""What every request meets before and after its script, and what else wakes a script's routes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from sipsilo.config.errors import Mistake
from sipsilo.endpoint import Incoming
from sipsilo.proxy.forward import check_forwardable
from sipsilo.registrar.binding import Binding
from sipsilo.routing.inhand import ALLOW
from sipsilo.routing.occasions import Context, Event
from sipsilo.routing.parts import LocalRequest
from sipsilo.routing.request import Request
from sipsilo.routing.script import Route, ScriptError, Timer, failure, log_failure, run_route
from sipsilo.routing.services import Services
from sipsilo.sip import message as sip
from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import Aor
from sipsilo.transport.flow import Flow

_SCHEMES = frozenset(("sip", "im", "pres", "tel"))  # §26.2.2: sips needs TLS, which is not here yet
_METHODS = frozenset(("MESSAGE", "REGISTER", "OPTIONS"))

log = structlog.get_logger(__name__)


class Router:
    """Runs a script: the endpoint's handler, the location's listener, and the clock of the timer routes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._main = services.script.request_function()
        self._tasks: set[asyncio.Task[object]] = set()

    # -- requests that come in

    async def __call__(self, incoming: Incoming) -> None:
        """Answer a request. Raises SipError for what is wrong with it whatever the script."""
        request = incoming.request
        self._check(incoming)
        hand = Request(self._services, incoming)
        try:
            await self._main.function(hand)
        except Exception as error:  # noqa: BLE001  whatever a script does, its request is answered
            log_failure(self._main, error)
            if not incoming.answered:
                incoming.reply(500)
        if incoming.answered:
            return
        if request.method not in _METHODS:
            raise SipError(405, "Method Not Allowed", cause="method", headers=(ALLOW,))
        raise SipError(404, "Not Found", cause="unrouted")

    def _check(self, incoming: Incoming) -> None:
        request = incoming.request
        if request.uri.scheme not in _SCHEMES:
            raise SipError(416, "Unsupported URI Scheme", cause="scheme")  # §8.2.2.1, §16.3 step 2
        check_forwardable(request)
        self._services.identity.strip_own_routes(request, incoming.flow.own)
        if request.method == "MESSAGE":
            if self._services.carrier.is_ours(request):
                raise SipError(480, "Temporarily Unavailable", cause="circle")  # SPEC.md chapter 4, No circles
        elif request.method == "CANCEL":
            raise SipError(481, "Call/Transaction Does Not Exist", cause="cancel")  # §9.2: no INVITE waits here

    # -- what else happens

    async def start(self) -> None:
        """Go through the startup route, then let the timers run. Raises ScriptError for a startup route that fails."""
        script = self._services.script
        context = Context(self._services)
        if script.startup is not None:
            error = await run_route(script.startup, context)
            if error is not None:
                where, problem = failure(script.startup, error)
                raise ScriptError([Mistake(where, problem)])
        for timer in script.timers:
            self._spawn(self._repeat(timer, context))

    def stop(self) -> None:
        """End the timers, and event routes under way."""
        for task in self._tasks:
            task.cancel()

    async def _repeat(self, timer: Timer, context: Context) -> None:
        while True:
            await asyncio.sleep(timer.interval)
            await run_route(timer.route, context)

    def bindings_changed(self, aor: Aor, old: tuple[Binding, ...], new: tuple[Binding, ...]) -> None:
        """Start the event routes for what is different now."""
        events = self._services.script.events
        before = {binding.contact: binding for binding in old}
        after = {binding.contact: binding for binding in new}
        for contact, binding in after.items():
            if contact not in before:
                self._tell(events.get("E_UL_CONTACT_INSERT"), "E_UL_CONTACT_INSERT", aor, binding)
            elif binding != before[contact]:
                self._tell(events.get("E_UL_CONTACT_UPDATE"), "E_UL_CONTACT_UPDATE", aor, binding)
        for contact, binding in before.items():
            if contact not in after:
                self._tell(events.get("E_UL_CONTACT_DELETE"), "E_UL_CONTACT_DELETE", aor, binding)

    def _tell(self, route: Route | None, name: str, aor: Aor, binding: Binding) -> None:
        if route is not None:
            self._spawn(run_route(route, Event(self._services, name, aor, binding)))

    async def request_made(self, request: sip.Request, flow: Flow) -> None:
        """Let the local route see a request of our own before it is sent."""
        if self._services.script.local is not None:
            await run_route(self._services.script.local, LocalRequest(request))

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
