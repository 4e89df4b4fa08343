"""Server transactions (RFC 3261 §17.2), and what is kept of one that is answered."""

from typing import ClassVar, NamedTuple

from sipsilo.sip.message import ANSWER_HEADERS, Request, Response
from sipsilo.transaction.machine import Transaction, TransactionError
from sipsilo.transaction.tables import (
    FINAL,
    INVITE_SERVER,
    NON_INVITE_SERVER,
    PROVISIONAL,
    TERMINATED,
    Event,
    Table,
)
from sipsilo.transaction.timers import Schedule

_COPIED = ANSWER_HEADERS | {"content-length"}
"""What `Request.response` writes by itself."""


class ServerTransaction(Transaction):
    """A request that was received, until its response needs no more retransmission.

    `response` is the last one sent, None before; `merge_identity` is told in `matching`.
    """

    __slots__ = ("merge_identity", "response")

    def __init__(
        self,
        key: str,
        merge_identity: int | None,
        request: Request,
        schedule: Schedule,
        context: object,
        now: float,
    ) -> None:
        self.merge_identity = merge_identity
        self.response: Response | None = None
        super().__init__(key, request, schedule, context, now)

    def answer(self, response: Response, now: float) -> bool:
        """Take the TU's response; returns whether it is to be sent.

        It is not when the transaction ended unanswered. Raises TransactionError when the response is not
        allowed here, or not any more.
        """
        if self.state is TERMINATED and (self.response is None or self.response.status < 200):
            return False
        if self.take(self._event(response.status), now) is None:
            raise TransactionError(f"{response.status} to a {self.request.method} in state {self.state.name.title()}")
        self.response = response
        return True

    @staticmethod
    def _event(status: int) -> Event:
        raise NotImplementedError


class NonInviteServer(ServerTransaction):
    """§17.2.2. Its object ends with the final response; the layer keeps an `Answer` for state Completed."""

    __slots__ = ()

    TABLE: ClassVar[Table] = NON_INVITE_SERVER

    @staticmethod
    def _event(status: int) -> Event:
        if status == 408:
            # RFC 4320 §4.2: it would come after the client's own timeout
            raise TransactionError("408 to a request other than INVITE")
        return FINAL if status >= 200 else PROVISIONAL


class InviteServer(ServerTransaction):
    """§17.2.1, with RFC 6026."""

    __slots__ = ()

    TABLE: ClassVar[Table] = INVITE_SERVER

    @staticmethod
    def _event(status: int) -> Event:
        if status >= 300:
            return Event.FAILURE
        return Event.SUCCESS if status >= 200 else Event.PROVISIONAL


class Answer(NamedTuple):
    """All of a response that its request does not tell, to make it once more from a retransmission."""

    status: int
    reason: str
    to_tag: str | None
    """None for the tag that is made from the transaction's key."""
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def of(cls, response: Response) -> "Answer":
        """What is to be kept of a response from elsewhere. Raises SipError(400) for a bad To."""
        headers = tuple(
            [(line.partition(":")[0], value) for name, value, line in response.fields if name not in _COPIED]
        )
        return cls(response.status, response.reason, response.to.tag, headers, response.body)

    def to(self, request: Request, own_tag: str) -> Response:
        """The same response, for a retransmission of its request."""
        tag = self.to_tag or own_tag
        return request.response(self.status, self.reason, to_tag=tag, headers=self.headers, body=self.body)


def trying(request: Request) -> Response:
    """The 100 of a server transaction: without To tag (§17.2.1), Timestamp as it came (§8.2.6.1)."""
    timestamp = request.get("timestamp")
    return request.response(100, headers=() if timestamp is None else (("Timestamp", timestamp),))
