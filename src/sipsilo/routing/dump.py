"""m_dump, as all routes have it (guide chapter 1.4.2)."""

import structlog

from sipsilo.routing.services import Services
from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import Aor, parse_uri

log = structlog.get_logger(__name__)


def owner_of(text: str) -> Aor | None:
    """The address of record that a URI names; None for a URI without a user part, and for what is no URI."""
    try:
        return parse_uri(text).aor
    except SipError:
        return None


def check_maxmsg(maxmsg: int | None) -> None:
    """Raise ValueError for what is no number of messages."""
    if maxmsg is not None and maxmsg < 1:
        raise ValueError(f"m_dump(maxmsg={maxmsg}): accepted: 1 or more, or None for all")


def dump(services: Services, owner: str, maxmsg: int | None, *, new_binding: bool) -> bool:
    """Start sending what is stored, outside of a REGISTER; whether there is an owner to send it to."""
    check_maxmsg(maxmsg)
    aor = owner_of(owner)
    if aor is None:
        log.info("not dumped", owner=owner, reason="no address of record")
        return False
    if not services.carrier.reaches(aor):
        return False
    services.silo.deliver(aor, new_binding=new_binding, limit=maxmsg)
    return True
