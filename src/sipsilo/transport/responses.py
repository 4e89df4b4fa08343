"""The way back of a response: received, rport, sent-by (RFC 3261 §18.2, RFC 3581)."""

import re

from sipsilo.sip.headers import Via
from sipsilo.sip.message import Request
from sipsilo.transport.flow import Address, bracketed

DEFAULT_PORT = 5060
_RPORT = re.compile(r";\s*rport\s*(?=;|\Z)", re.I)


def stamp_via(request: Request, source: Address) -> None:
    """Write into the topmost Via where the request really came from (§18.2.1, RFC 3581 §4)."""
    via = request.via
    rport = via.param("rport") is not None
    if not rport and via.host == bracketed(source.host):
        return
    raw = request.get("via") or ""
    if "," in raw or "received" in raw:
        via = via.with_param("received", source.host)
        text = str(via.with_param("rport", str(source.port)) if rport else via)
    else:
        text = f"{_RPORT.sub(f';rport={source.port}', raw)};received={source.host}"
    request.replace_first("Via", text)


def response_address(via: Via, source: Address) -> Address:
    """Where the response to an unreliable request goes (§18.2.2, RFC 3581 §4).

    `source` is where the request came from, which `stamp_via` has compared with the Via.
    """
    if via.param("rport") is not None:
        return source
    return Address(source.host, via.port or DEFAULT_PORT)
