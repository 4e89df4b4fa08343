"""Which of several final responses goes upstream (§16.7 step 6)."""

from collections.abc import Sequence

from sipsilo.sip.message import Response

_PREFERRED = frozenset((401, 407, 415, 420, 484))


def best_response(responses: Sequence[Response]) -> Response | None:
    """2xx before 6xx before the lowest class, those that tell how to ask better first in it; None for none."""
    return min(responses, key=_rank, default=None)


def _rank(response: Response) -> tuple[int, bool, int]:
    status = response.status
    if status < 300:
        return 0, False, status
    if status >= 600:
        return 1, False, status
    return status // 100, status not in _PREFERRED, status


def upstream(response: Response) -> Response:
    """A response as it goes on: without our Via (§16.7 step 3)."""
    copy = Response(response.status, response.reason, list(response.fields), response.body)
    copy.replace_first("Via", None)
    return copy
