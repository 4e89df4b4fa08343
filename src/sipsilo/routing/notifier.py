"""Sends notices to senders whose messages were stored."""

import asyncio
from collections.abc import Callable

import structlog

from sipsilo.endpoint import Endpoint
from sipsilo.formats import Variable
from sipsilo.reach import Reach, TooLarge
from sipsilo.routing.carrier import ContactCarrier
from sipsilo.routing.identity import Identity
from sipsilo.silo.notices import Notice, NoticeSettings, RateLimit, contact_of, write_notice
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor, Uri, parse_uri
from sipsilo.transaction.matching import new_tag
from sipsilo.transport.flow import Flow, FlowClosed, bracketed
from sipsilo.transport.responses import DEFAULT_PORT

MAX_UNDER_WAY = 1_000
"""Notices that wait for their answer; a silent sender is waited for half a minute."""

log = structlog.get_logger(__name__)


class Notifier:
    """Tells senders that the recipient is offline. A notice that fails is counted, and never sent again."""

    def __init__(
        self,
        endpoint: Endpoint,
        reach: Reach,
        identity: Identity,
        carrier: ContactCarrier,
        settings: NoticeSettings,
        outbound_proxy: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._reach = reach
        self._identity = identity
        self._carrier = carrier
        self._settings = settings
        self._outbound_proxy = outbound_proxy
        self._limit = RateLimit(settings.interval)
        self._under_way: set[asyncio.Task[None]] = set()

    def notify(self, request: Request, flow: Flow, owner: Aor, expand: Callable[[Variable], object]) -> None:
        """Tell the sender of a MESSAGE that came on `flow` that it was stored for `owner`; returns at once.

        `expand` gives the values of the variables in the parameters, now. It is for the caller to know that the
        recipient is away, that it is no reminder, and that skip_notification_flag is not set.
        """
        if not self._settings.enabled or self._carrier.is_ours(request):
            return
        try:
            notice = write_notice(request, owner, self._settings, expand)
        except (ValueError, SipError) as error:
            log.warning("no notice", owner=str(owner), error=str(error))
            return
        if notice is None:
            return
        aor = request.from_.uri.aor
        sender = request.from_.uri_text if aor is None else str(aor)
        now = asyncio.get_running_loop().time()
        if len(self._under_way) >= MAX_UNDER_WAY or not self._limit.allows(sender, owner, now):
            self._endpoint.counters.add("notices.suppressed")
            return
        contact = contact_of(request) if self._settings.use_contact else None
        sending = self._send(notice, contact, flow if contact and _is_end_of(flow, contact, request) else None)
        task = asyncio.get_running_loop().create_task(sending)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Wait for no more answers."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _send(self, notice: Notice, contact: Uri | None, flow: Flow | None) -> None:
        outcome = "failed"
        try:
            status = await self._deliver(notice, contact, flow)
            if status < 300:
                outcome = "sent"
            else:
                log.info("notice not delivered", recipient=notice.recipient.uri_text, status=status)
        except (FlowClosed, TooLarge, SipError) as error:
            log.info("notice not delivered", recipient=notice.recipient.uri_text, error=str(error))
        self._endpoint.counters.add(f"notices.{outcome}")

    async def _deliver(self, notice: Notice, contact: Uri | None, flow: Flow | None) -> int:
        """Send it; the status of the answer. Raises FlowClosed, TooLarge, SipError."""
        target = contact or notice.recipient.uri
        if self._outbound_proxy:
            request = self._request(notice, str(target))
            flow = await self._reach.flow_to_uri(parse_uri(self._outbound_proxy), request)
        elif flow is not None and not flow.closed:
            request = self._request(notice, str(target))
            flow = await self._reach.fitting(flow, request)
        elif contact is None and self._identity.owns(target.aor):
            return await self._deliver_to_binding(notice, target.aor)
        else:
            request = self._request(notice, str(target))
            flow = await self._reach.flow_to_uri(target, request)
        return (await self._endpoint.send(request, flow)).status

    async def _deliver_to_binding(self, notice: Notice, aor: Aor | None) -> int:
        """To a user of ours: the newest contact."""
        bindings = [] if aor is None else self._carrier.bindings(aor)
        if not bindings:
            return 480
        request = self._request(notice, bindings[0].contact)
        for route in reversed(bindings[0].path):
            request.prepend("Route", route)
        flow = await self._reach.flow_to_binding(bindings[0], request)
        return (await self._endpoint.send(request, flow)).status

    def _request(self, notice: Notice, request_uri: str) -> Request:
        headers = [
            ("Max-Forwards", "70"),
            ("From", f"<{notice.source}>;tag={new_tag()}"),
            ("To", str(notice.recipient)),
            ("Call-ID", self._carrier.new_call_id(new_tag())),
            ("CSeq", "1 MESSAGE"),
            *notice.headers,
        ]
        request = Request.build("MESSAGE", request_uri, headers, notice.body)
        self._carrier.dress(request)
        return request


def _is_end_of(flow: Flow, contact: Uri, request: Request) -> bool:
    """Whether a Contact is the peer of the flow: by the packet's address, or as its Via says, who is behind a NAT."""
    if (contact.param("transport") or flow.transport).upper() != flow.transport:
        return False
    place = (contact.host, contact.port or DEFAULT_PORT)
    via = request.via
    return place in ((bracketed(flow.remote.host), flow.remote.port), (via.host, via.port or DEFAULT_PORT))
