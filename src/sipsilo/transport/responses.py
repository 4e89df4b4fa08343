"""The way back of a response: received, rport, sent-by (RFC 3261 §18.2, RFC 3581)."""

from sipsilo.sip.headers import Via
from sipsilo.sip.message import Request
from sipsilo.transport.flow import Address, bracketed

DEFAULT_PORT = 5060


def stamp_via(request: Request, source: Address) -> None:
    """Write into the topmost Via where the request really came from (§18.2.1, RFC 3581 §4)."""
    via = request.via
    has_rport = via.param("rport") is not None
    if not has_rport and via.host == bracketed(source.host):
        return
    request.replace_via(via.received_from(source.host, source.port if has_rport else None))


def response_address(via: Via, source: Address) -> Address:
    """Where the response to an unreliable request goes (§18.2.2, RFC 3581 §4).

    `source` is where the request came from, which `stamp_via` has compared with the Via.
    """
    if via.param("rport") is not None:
        return source
    return Address(source.host, via.port or DEFAULT_PORT)
