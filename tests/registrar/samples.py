"""REGISTERs as they come from the network, and the bindings that they meet."""

from collections.abc import Sequence

from sipsilo.registrar.binding import Binding, Change, Received, RegistrarLimits, apply_register
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message
from sipsilo.sip.uri import Aor

BOB = Aor("bob", "example.org")
NOW = 1_795_000_000.0
LIMITS = RegistrarLimits(default_expires=3600, min_expires=60, max_expires=86_400, max_contacts=3)
UDP = Received("UDP", ("192.0.2.100", 5060), ("192.0.2.1", 5060), False)
OTHER_FLOW = UDP._replace(remote=("192.0.2.1", 6060))


def register(*headers: str, call_id: str = "a", cseq: int = 1, body: bytes = b"") -> Request:
    """A REGISTER for Bob with these further header lines; surrogates in them become bytes as they are."""
    lines = [
        "REGISTER sip:example.org SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1",
        "From: <sip:bob@example.org>;tag=1",
        "To: <sip:bob@example.org>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *headers,
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    request = parse_message("\r\n".join(lines).encode("utf-8", "surrogateescape") + body)
    assert isinstance(request, Request)
    return request


def binding(contact: str, *, expires: float = 1800, call_id: str = "a", cseq: int = 1) -> Binding:
    """A binding with `expires` seconds to live."""
    return Binding(contact, 1.0, NOW + expires, NOW - 1800, call_id, cseq, (), None, UDP)


def apply(current: Sequence[Binding], request: Request, received: Received = UDP) -> Change:
    """What a REGISTER that comes at NOW makes of the bindings."""
    return apply_register(current, request, received, NOW, LIMITS)


def told(change: Change) -> dict[str, int]:
    """The contacts after a change, newest first, and for how many seconds each stays."""
    return {binding.contact: round(binding.expires_at - NOW) for binding in change.bindings}
