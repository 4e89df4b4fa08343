"""REGISTER: the request checked, the location changed, the answer made (§10.3, RFC 3327)."""

import time
from typing import NamedTuple

from sipsilo.registrar.binding import Binding, Received, RegistrarLimits, apply_register
from sipsilo.registrar.location import Location
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor
from sipsilo.sip.validation import check_required

SUPPORTED = frozenset(("path",))
"""Option tags that a REGISTER may require of us."""

MAX_AOR_PART = 64
"""Characters of its user and of its host; what the columns hold."""


class Registered(NamedTuple):
    """What a REGISTER brought about: the headers of its 200, the bindings now, whether one is new."""

    headers: list[tuple[str, str]]
    bindings: tuple[Binding, ...]
    has_new: bool


class Registrar:
    """Does what REGISTERs ask for, for the AoRs of a location."""

    def __init__(self, location: Location, limits: RegistrarLimits) -> None:
        self._location = location
        self._limits = limits

    async def register(self, request: Request, aor: Aor, received: Received) -> Registered:
        """Change the bindings of an AoR. Raises SipError, and what the repository raises."""
        _check(request, aor)
        now = time.time()
        change = await self._location.change(
            aor, lambda current: apply_register(current, request, received, now, self._limits)
        )
        headers = [("Contact", binding.header(now)) for binding in change.bindings]
        headers += [("Path", path) for path in request.get_all("path")]  # RFC 3327 §5.3
        return Registered(headers, change.bindings, change.has_new)


def _check(request: Request, aor: Aor) -> None:
    if max(map(len, aor)) > MAX_AOR_PART:
        raise SipError(404, "Address of Record Too Long", cause="aor")
    check_required(request, SUPPORTED)
    disposition = request.get("content-disposition") or ""
    if request.body and "handling=optional" not in disposition.replace(" ", "").lower():
        # §8.2.3: there is no body that we understand
        raise SipError(415, "Unsupported Media Type", cause="media", headers=(("Accept", ""),))
