"""MESSAGEs as they come from the network."""

from sipsilo.silo.message import StoredMessage
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message
from sipsilo.sip.uri import Aor

ALICE = Aor("alice", "example.org")
BOB = Aor("bob", "example.org")
PLAIN = "Content-Type: text/plain"


def message(
    *headers: str,
    body: bytes = b"Hi",
    source: str = '"Alice" <sip:alice@example.org>;tag=a',
    target: str = "<sip:bob@example.org>",
    call_id: str = "1@192.0.2.1",
) -> Request:
    """A MESSAGE for Bob with these further header lines; surrogates in them become bytes as they are."""
    lines = [
        "MESSAGE sip:bob@example.org SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-1",
        "Max-Forwards: 17",
        f"From: {source}",
        f"To: {target}",
        f"Call-ID: {call_id}",
        "CSeq: 123 MESSAGE",
        *headers,
        f"Content-Length: {len(body)}",
        "",
        "",
    ]
    request = parse_message("\r\n".join(lines).encode("utf-8", "surrogateescape") + body)
    assert isinstance(request, Request)
    return request


def stored(
    request: Request | None = None, owner: Aor = BOB, now: float = 1_795_000_000, lifetime: int = 3600
) -> StoredMessage:
    """What is kept of a request that comes at `now`."""
    return StoredMessage.from_request(request or message(PLAIN), owner, now, lifetime)
