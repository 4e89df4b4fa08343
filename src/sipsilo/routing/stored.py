"""What m_store gives back."""

from typing import NamedTuple

from sipsilo.endpoint import RETRY_AFTER


class Stored(NamedTuple):
    """How storing a MESSAGE ended: true when it is kept; `status`, `reason` and `headers` are for the answer.

    202 when it is kept (RFC 3428 §7) or needs no keeping (RFC 3994), 480 for a full quota and for `Expires: 0`,
    503 with Retry-After when the database is down or its queue full, 400 for a body without Content-Type,
    404 when there is no owner, 513 for what is too long.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return self.status == 202


ACCEPTED = Stored(202, "Accepted")
UNAVAILABLE = Stored(503, "Service Unavailable", (RETRY_AFTER,))
NOBODY = Stored(404, "Not Found")
