"""The one error that bad SIP input raises."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipsilo.sip.message import Request


class SipError(Exception):
    """Something in a SIP message is wrong.

    `status` and `reason` are what a server answers (RFC 3261 §21.4, §21.5); `request` is the message as far
    as it could be read, for building that answer, or None where nothing can be answered. `cause` is a
    short fixed word by which the error is counted.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        cause: str = "malformed",
        request: "Request | None" = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.cause = cause
        self.request = request
        self.headers = headers
