"""Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3), and which request came twice.

Keys are one string each, because 300,000 of them are kept: method and sent-by hold no space, so the parts
cannot run into each other.
"""

from hashlib import blake2b
from itertools import count
from secrets import token_bytes

from sipsilo.sip.message import Request, Response

MAGIC_COOKIE = "z9hG4bK"
"""§8.1.1.7: a branch that begins with it is unique."""

_secret = token_bytes(16)
_counter = count()

# §17.2.3 of a request without the cookie: no RFC 3261 key begins so, as "|" is not a method.
_RFC2543 = "| "


def new_branch() -> str:
    """A branch parameter for a request of ours (§8.1.1.7): unique, and nobody outside can guess it."""
    return MAGIC_COOKIE + new_tag()


def new_tag() -> str:
    """A tag for a request of ours (§19.3): unique, and nobody outside can guess it.

    A keyed hash over a counter: it costs a tenth of asking the system for random bytes.
    """
    return blake2b(b"%d" % next(_counter), digest_size=8, key=_secret).hexdigest()


def server_key(request: Request) -> str:
    """The key of the server transaction of any request but ACK (§17.2.3). Raises SipError(400)."""
    via = request.via
    branch = via.branch
    if _is_unique(branch):
        return f"{request.method} {via.sent_by} {branch}"
    return _rfc2543_key(request, request.method, request.to.tag)


def ack_keys(ack: Request) -> tuple[str, ...]:
    """The keys that the INVITE of this ACK may have (§17.2.3). Raises SipError(400)."""
    via = ack.via
    branch = via.branch
    if _is_unique(branch):
        return (f"INVITE {via.sent_by} {branch}",)
    # The ACK has the response's To tag: the INVITE had the same or none.
    return _rfc2543_key(ack, "INVITE", ack.to.tag), _rfc2543_key(ack, "INVITE", None)


def is_acknowledged_by(key: str, response: Response, ack: Request) -> bool:
    """Whether an ACK found by this key is one for this response. Raises SipError(400).

    §17.2.3: without a unique branch "the To tag of the ACK matches the To tag of the response".
    """
    return not key.startswith(_RFC2543) or response.to.tag == ack.to.tag


def merge_identity(request: Request) -> int | None:
    """What two requests have in common that came over two paths (§8.2.2.2). Raises SipError(400).

    None for a request inside a dialog, which is never merged, and for CANCEL, which follows the path of
    each copy (§9.1). The Request-URI counts too: a proxy that forks to two users of ours has sent two
    requests. A 64-bit hash (keyed by Python at every start) is enough, and takes a quarter of the memory: at
    10,000 requests a second one is taken for another's twin once in 400 years, and its sender is told.
    """
    if request.method == "CANCEL" or request.to.tag is not None:
        return None
    return hash((request.call_id, request.from_.tag, request.cseq, request.uri_text))


def client_key(method: str, branch: str | None) -> str:
    """The key of a client transaction: the request's method and branch, the response's likewise (§17.1.3)."""
    return f"{method} {branch}"


def _is_unique(branch: str | None) -> bool:
    # RFC 4475 §3.2.1: the bare cookie identifies nothing
    return branch is not None and branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE)


def _rfc2543_key(request: Request, method: str, to_tag: str | None) -> str:
    # Of the top Via what its sender wrote: received and rport are of the receiver's making (§18.2.1).
    via = request.via
    parts = (
        method,
        via.transport,
        via.sent_by,
        via.branch,
        request.uri_text,
        to_tag,
        request.from_.tag,
        request.call_id,
        request.cseq.number,
    )
    return _RFC2543 + repr(parts)
