"""Messages and bindings to be stored."""

from typing import Any

from sipsilo.registrar.binding import Binding, Received
from sipsilo.silo.message import StoredMessage
from sipsilo.silo.repository import PageRequest
from sipsilo.sip.uri import Aor

ALICE = Aor("alice", "example.org")
BOB = Aor("bob", "example.org")
NOW = 1_795_000_000.0


def message(owner: Aor = BOB, body: bytes = b"Hi", **changes: Any) -> StoredMessage:
    """A message that came at NOW and expires an hour later."""
    sample = StoredMessage(
        mid=0,
        owner=owner,
        source="sip:alice@example.org",
        source_name='"Alice"',
        destination=str(owner),
        destination_name="",
        content_type="text/plain",
        body=body,
        headers=b"Subject: greeting",
        call_id="1@example.org",
        received=int(NOW),
        originated=int(NOW),
        expires=int(NOW) + 3600,
    )
    return sample._replace(**changes)


def page(
    owner: Aor = BOB, *, after: int = 0, now: float = NOW, ignore_backoff: bool = False, limit: int = 100
) -> PageRequest:
    """What delivery asks for, with a lease of 10 seconds."""
    return PageRequest(owner, after, now, now + 10, ignore_backoff, limit)


def binding(contact: str = "sip:bob@192.0.2.1:5060", **changes: Any) -> Binding:
    """A binding of an hour, made at NOW."""
    sample = Binding(
        contact=contact,
        q=1.0,
        expires_at=NOW + 3600,
        registered_at=NOW,
        call_id="reg@192.0.2.1",
        cseq=1,
        path=(),
        methods=None,
        received=Received("UDP", ("127.0.0.1", 5060), ("192.0.2.1", 5060), False),
    )
    return sample._replace(**changes)
