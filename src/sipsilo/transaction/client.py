"""Client transactions (RFC 3261 §17.1)."""

from typing import ClassVar

from sipsilo.sip.message import Request, Response
from sipsilo.transaction.machine import Transaction
from sipsilo.transaction.tables import FINAL, INVITE_CLIENT, NON_INVITE_CLIENT, PROVISIONAL, Event, Table
from sipsilo.transaction.timers import Schedule


class ClientTransaction(Transaction):
    """A request that is sent, until no more response to it is expected."""

    __slots__ = ()

    @staticmethod
    def event(status: int) -> Event:
        """The event that a response of this status is."""
        raise NotImplementedError


class NonInviteClient(ClientTransaction):
    """§17.1.2. Its object ends with the final response; the layer keeps only its key for state Completed."""

    __slots__ = ()

    TABLE: ClassVar[Table] = NON_INVITE_CLIENT

    @staticmethod
    def event(status: int) -> Event:
        """The event that a response of this status is."""
        return FINAL if status >= 200 else PROVISIONAL


class InviteClient(ClientTransaction):
    """§17.1.1, with RFC 6026. `ack` is what was sent for a final response other than 2xx."""

    __slots__ = ("ack",)

    TABLE: ClassVar[Table] = INVITE_CLIENT

    def __init__(self, key: str, request: Request, schedule: Schedule, context: object, now: float) -> None:
        self.ack: Request | None = None
        super().__init__(key, request, schedule, context, now)

    @staticmethod
    def event(status: int) -> Event:
        """The event that a response of this status is."""
        if status >= 300:
            return Event.FAILURE
        return Event.SUCCESS if status >= 200 else Event.PROVISIONAL

    def acknowledge(self, response: Response) -> Request:
        """The ACK for a final response other than 2xx; the same for each retransmission of it (§17.1.1.2)."""
        if self.ack is None:
            self.ack = _ack(self.request, response)
        return self.ack


def _ack(invite: Request, response: Response) -> Request:
    """§17.1.1.3: the INVITE's top Via, From, Call-ID, Route and number, the response's To, no body."""
    headers = [
        ("Via", str(invite.via)),
        *(("Route", route) for route in invite.get_all("route")),
        ("Max-Forwards", "70"),
        ("From", invite.get("from") or ""),
        ("To", response.get("to") or ""),
        ("Call-ID", invite.call_id),
        ("CSeq", f"{invite.cseq.number} ACK"),
    ]
    return Request.build("ACK", invite.uri_text, headers)
