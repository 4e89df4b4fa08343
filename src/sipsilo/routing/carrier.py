"""Carries stored messages to the contacts of their owners."""

from sipsilo.endpoint import Endpoint
from sipsilo.reach import Reach, TooLarge
from sipsilo.registrar.binding import Binding
from sipsilo.registrar.location import Location
from sipsilo.silo.message import StoredMessage
from sipsilo.silo.outcome import Verdict, judge
from sipsilo.sip.message import Request, Response
from sipsilo.sip.uri import Aor
from sipsilo.transaction.matching import new_tag
from sipsilo.transport.flow import FlowClosed


class ContactCarrier:
    """The silo's `Carrier` to bindings. `silo_id` marks the Call-IDs of what we send."""

    def __init__(self, endpoint: Endpoint, location: Location, reach: Reach, silo_id: str, *, add_date: bool) -> None:
        self._endpoint = endpoint
        self._location = location
        self._reach = reach
        self._mark = f"@{silo_id}"
        self._add_date = add_date

    def is_bound(self, owner: Aor) -> bool:
        """Whether the owner has a contact that takes MESSAGEs."""
        return bool(self.bindings(owner))

    def bindings(self, owner: Aor) -> list[Binding]:
        """The contacts of the owner that take MESSAGEs, the newest first."""
        return [binding for binding in self._location.lookup(owner) if binding.takes("MESSAGE")]

    def is_ours(self, request: Request) -> bool:
        """Whether a MESSAGE is one that we have sent, come back (SPEC.md chapter 4, No circles)."""
        return request.call_id.endswith(self._mark)

    async def carry(self, message: StoredMessage) -> Response | None:
        """Send a message to one device: the newest contact, or the next newest that is willing.

        After silence no other is asked: the silent one may have taken the message.
        """
        response: Response | None = None
        for binding in self.bindings(message.owner):
            request = self._request(message, binding)
            try:
                flow = await self._reach.flow_to_binding(binding, request)
            except FlowClosed:
                response = request.response(503)
                continue
            except TooLarge:
                return request.response(513)
            response = await self._endpoint.send(request, flow)
            # The endpoint's own 408 and 503, for silence and a broken connection, have no To tag.
            if response.to.tag is None or judge(response) is not Verdict.UNREACHABLE:
                break
        return response

    def _request(self, message: StoredMessage, binding: Binding) -> Request:
        # One Call-ID for each attempt: a phone may know a message again that it has answered in vain.
        call_id = f"{message.mid}.{message.attempts}{self._mark}"
        request = message.to_request(binding.contact, call_id, new_tag(), add_date=self._add_date)
        for route in reversed(binding.path):
            request.prepend("Route", route)
        return request
