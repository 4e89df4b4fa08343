"""Carries stored messages to the contacts of their owners, or to the outbound proxy."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

import structlog

from sipsilo.endpoint import Endpoint
from sipsilo.formats import Format, Variable
from sipsilo.reach import Reach, TooLarge
from sipsilo.registrar.binding import Binding
from sipsilo.registrar.location import Location
from sipsilo.routing.identity import Identity
from sipsilo.silo.message import StoredMessage
from sipsilo.silo.outcome import Verdict, judge
from sipsilo.sip.header_lines import one_line, stored_header_lines
from sipsilo.sip.message import Request, Response
from sipsilo.sip.uri import Aor, Uri, parse_uri
from sipsilo.transaction.matching import new_tag
from sipsilo.transport.flow import FlowClosed

Values = Callable[[Variable], object]
"""What pseudo-variables hold, for one request."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class CarrierSettings:
    """How what we send looks, and where it goes (guide chapter 1.3, Kamailio's extras).

    `reminder` is the From URI of reminders, "" when they are off; `outbound_proxy` a SIP URI, "" for none;
    `zone` that of the times in bodies, None for the system's.
    """

    add_date: bool = True
    reminder: str = ""
    outbound_proxy: str = ""
    add_contact: bool = False
    use_mode: bool = False
    extra_hdrs: Format | None = None
    zone: tzinfo | None = None


class ContactCarrier:
    """The silo's `Carrier`. `silo_id` marks the Call-IDs, or else the From tags, of what we send.

    `values` says what variables hold for a request of ours (parameter extra_hdrs).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        location: Location,
        reach: Reach,
        silo_id: str,
        identity: Identity,
        settings: CarrierSettings,
        values: Callable[[Request], Values],
    ) -> None:
        self._endpoint = endpoint
        self._location = location
        self._reach = reach
        self._silo_id = silo_id
        self._identity = identity
        self._settings = settings
        self._values = values

    def is_bound(self, owner: Aor) -> bool:
        """Whether the owner has a contact that takes MESSAGEs."""
        return bool(self.bindings(owner))

    def reaches(self, owner: Aor) -> bool:
        """Whether there is a way to the owner: a contact, the outbound proxy, or a host that is not ours."""
        return bool(self._settings.outbound_proxy) or not self._identity.owns(owner) or self.is_bound(owner)

    def bindings(self, owner: Aor) -> list[Binding]:
        """The contacts of the owner that take MESSAGEs, the newest first."""
        return [binding for binding in self._location.lookup(owner) if binding.takes("MESSAGE")]

    # -- what is ours

    def new_call_id(self, name: str) -> str:
        """A Call-ID by which a request of ours is known again."""
        return f"{name}@{self._silo_id}"

    def is_ours(self, request: Request) -> bool:
        """Whether a request is one that we have sent, come back (SPEC.md chapter 4, No circles)."""
        if request.call_id.endswith(f"@{self._silo_id}"):
            return True
        # with use_mode the Call-ID is the sender's, and the From tag is ours
        return (request.from_.tag or "").endswith(f".{self._silo_id}")

    # -- carrying

    async def carry(self, message: StoredMessage) -> Response | None:
        """Send a message to one device: the newest contact, or the next newest that is willing.

        After silence no other is asked: the silent one may have taken the message. With an outbound proxy it
        goes there; without a contact, to the owner's host, unless that is us: then nobody is there (None).
        """
        if self._settings.outbound_proxy:
            return await self._carry_to(parse_uri(self._settings.outbound_proxy), message)
        bindings = self.bindings(message.owner)
        if not bindings and not self._identity.owns(message.owner):
            return await self._carry_to(parse_uri(str(message.owner)), message)
        response: Response | None = None
        for binding in bindings:
            request = self._request(message, binding.contact)
            for route in reversed(binding.path):
                request.prepend("Route", route)
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

    async def _carry_to(self, next_hop: Uri, message: StoredMessage) -> Response:
        """Send it to the owner's AoR by way of a next hop."""
        request = self._request(message, str(message.owner))
        try:
            flow = await self._reach.flow_to_uri(next_hop, request)
        except FlowClosed as error:
            log.warning("no way to the next hop", owner=str(message.owner), next_hop=str(next_hop), error=str(error))
            return request.response(503)
        except TooLarge:
            return request.response(513)
        return await self._endpoint.send(request, flow)

    def _request(self, message: StoredMessage, request_uri: str) -> Request:
        settings = self._settings
        if settings.use_mode and message.call_id:
            call_id, tag = message.call_id, f"{new_tag()}.{self._silo_id}"
        else:
            # One Call-ID for each attempt: a phone may know a message again that it has answered in vain.
            call_id, tag = self.new_call_id(f"{message.mid}.{message.attempts}"), new_tag()
        request = message.to_request(
            request_uri, call_id, tag, add_date=settings.add_date, reminder=settings.reminder, zone=settings.zone
        )
        self.dress(request)
        return request

    def dress(self, request: Request) -> None:
        """Add what everything that we send has: extra_hdrs, and a Contact where add_contact asks for one."""
        if self._settings.extra_hdrs is not None:
            for name, value in expanded_lines(self._settings.extra_hdrs, self._values(request)):
                request.add(name, value)
        if self._settings.add_contact and request.get("contact") is None:
            request.add("Contact", f"<{request.from_.uri_text}>;msilo=yes")


def expanded_lines(lines: Format, values: Values) -> list[tuple[str, str]]:
    """Header lines with their variables' values in them, of which none can end a line."""
    return stored_header_lines(lines.expand(lambda variable: _in_one_line(values(variable))))


def _in_one_line(value: object) -> str | None:
    return None if value is None else one_line(str(value))
