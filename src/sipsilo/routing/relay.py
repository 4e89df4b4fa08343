"""Relaying a request to one or more targets: in parallel, one answer (§16.6, §16.7)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from sipsilo.endpoint import Endpoint
from sipsilo.proxy.forward import forwarded
from sipsilo.proxy.response_context import best_response
from sipsilo.reach import Reach, TooLarge
from sipsilo.registrar.binding import Binding
from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import parse_name_addr
from sipsilo.sip.message import Request, Response
from sipsilo.sip.uri import Uri, parse_uri
from sipsilo.transaction.matching import new_branch
from sipsilo.transport.flow import Flow, FlowClosed

OF_OUR_MAKING = frozenset((408, 503, 513))
"""How silence, transport errors and oversize come out of a relay; they have no way upstream in them."""


class Target(NamedTuple):
    """Where a branch goes: its Request-URI, the Route values for it, and its binding or the URI of the next hop.

    Without either it goes where its topmost Route or its Request-URI points.
    """

    uri: str
    path: tuple[str, ...] = ()
    binding: Binding | None = None
    next_hop: str | None = None


class Relayed(NamedTuple):
    """How a relay ended: the best final response, if any, and the branches that are silent still."""

    best: Response | None
    silent: frozenset[asyncio.Task[Response]]


BranchHook = Callable[[Request, Target], Awaitable[Target | None]]
"""Looks at a branch's request before it goes out; the target that it goes to, None for none."""

ReplyHook = Callable[[Response], Awaitable[None]]
"""Looks at a branch's final response."""


class Plan(NamedTuple):
    """What a relay is to do beside sending: the mark that tells loops (§16.6 step 8), and who looks on."""

    mark: str
    on_branch: BranchHook | None = None
    on_reply: ReplyHook | None = None


class Relay:
    """Sends copies of a request to targets."""

    def __init__(self, endpoint: Endpoint, reach: Reach, timeout: float) -> None:
        self._endpoint = endpoint
        self._reach = reach
        self._timeout = timeout

    async def relay(self, request: Request, targets: Sequence[Target], plan: Plan) -> Relayed:
        """Fork to all targets; until a 2xx, until all have answered, or for `timeout` seconds."""
        loop = asyncio.get_running_loop()
        pending = {loop.create_task(self._branch(request, target, plan)) for target in targets}
        finals: list[Response] = []
        until = loop.time() + self._timeout
        while pending and not any(response.status < 300 for response in finals):
            done, pending = await asyncio.wait(
                pending, timeout=max(0.0, until - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            finals += [task.result() for task in done]
        return Relayed(best_response(finals), frozenset(pending))

    async def _branch(self, request: Request, target: Target, plan: Plan) -> Response:
        copy = forwarded(request, target.uri, target.path)
        if plan.on_branch is not None:
            changed = await plan.on_branch(copy, target)
            if changed is None:
                return request.response(503)
            target = changed
        try:
            flow = await self._flow(copy, target)
        except FlowClosed:
            return request.response(503)
        except TooLarge:
            return request.response(513)
        # Once it counts as absent it gets the stored message, and must not get this one as well.
        response = await self._endpoint.send(copy, flow, f"{new_branch()}.{plan.mark}", self._timeout, own=False)
        try:
            tag = response.to.tag
        except SipError:
            return request.response(503)  # nothing that can go upstream
        if tag is not None and plan.on_reply is not None:  # the endpoint's own has none
            await plan.on_reply(response)
        return response

    async def _flow(self, request: Request, target: Target) -> Flow:
        if target.binding is not None and target.next_hop is None:
            return await self._reach.flow_to_binding(target.binding, request)
        return await self._reach.flow_to_uri(next_hop(request, target), request)


def next_hop(request: Request, target: Target) -> Uri:
    """Where a target without a binding is: said by the script, by the topmost Route, by the Request-URI (§16.6)."""
    if target.next_hop is not None:
        return parse_uri(target.next_hop)
    if request.get("route") is not None:
        return parse_name_addr(request.values("route")[0]).uri
    return parse_uri(target.uri)
