"""Relaying a request to the contacts of its recipient: in parallel, one answer (§16.7)."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from sipsilo.endpoint import Endpoint
from sipsilo.proxy.forward import forwarded, loop_mark
from sipsilo.proxy.response_context import best_response
from sipsilo.reach import Reach, TooLarge
from sipsilo.registrar.binding import Binding
from sipsilo.sip.message import Request, Response
from sipsilo.transaction.matching import new_branch
from sipsilo.transport.flow import FlowClosed


class Relayed(NamedTuple):
    """How a relay ended: the best final response, if any, and the branches that are silent still."""

    best: Response | None
    silent: frozenset[asyncio.Task[Response]]


class Relay:
    """Sends copies of a request to bindings."""

    def __init__(self, endpoint: Endpoint, reach: Reach, timeout: float) -> None:
        self._endpoint = endpoint
        self._reach = reach
        self._timeout = timeout

    async def relay(self, request: Request, bindings: Sequence[Binding]) -> Relayed:
        """Fork to all bindings; until a 2xx, until all have answered, or for `timeout` seconds."""
        loop = asyncio.get_running_loop()
        pending = {loop.create_task(self._send(request, binding)) for binding in bindings}
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

    async def _send(self, request: Request, binding: Binding) -> Response:
        copy = forwarded(request, binding.contact, binding.path)
        try:
            flow = await self._reach.flow_to_binding(binding, copy)
        except FlowClosed:
            return request.response(503)
        except TooLarge:
            return request.response(513)
        # Once it counts as absent it gets the stored message, and must not get this one as well.
        return await self._endpoint.send(copy, flow, f"{new_branch()}.{loop_mark(request)}", self._timeout)
