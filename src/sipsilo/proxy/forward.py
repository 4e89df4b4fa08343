"""The request as it goes on: checked (§16.3), copied and changed (§16.6)."""

from collections.abc import Sequence
from hashlib import blake2b
from secrets import token_bytes

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import parse_number, parse_via
from sipsilo.sip.message import Request

_SECRET = token_bytes(16)


def has_hops(request: Request) -> bool:
    """§16.3 step 3: whether a request may go on. Raises SipError(400)."""
    hops = request.get("max-forwards")
    return hops is None or parse_number(hops, "Max-Forwards") > 0


def check_forwardable(request: Request) -> None:
    """§16.3: no extension that we do not know, no loop. Raises SipError(420, 482)."""
    if request.get("proxy-require") is not None:
        headers = (("Unsupported", ", ".join(request.values("proxy-require"))),)
        raise SipError(420, "Bad Extension", cause="proxy-require", headers=headers)
    if _has_been_here(request):
        raise SipError(482, "Loop Detected", cause="loop")


def forwarded(request: Request, uri: str, routes: Sequence[str]) -> Request:
    """A copy for one target: Request-URI, Route values before others, a hop less. The Via is still to come."""
    copy = request.copy()
    copy.uri_text = uri
    hops = request.get("max-forwards")
    left = 70 if hops is None else min(parse_number(hops, "Max-Forwards"), 255) - 1
    copy.set("Max-Forwards", str(left))
    for route in reversed(routes):
        copy.prepend("Route", route)
    copy.set_content_length()
    return copy


def loop_mark(request: Request) -> str:
    """What ends the branch of a forwarded request, to know it again if it comes back unchanged.

    §16.6 step 8: a hash over what routes it; the same again is a loop, another Request-URI a spiral.
    """
    parts = (
        request.uri_text,
        request.call_id,
        str(request.cseq.number),
        request.from_.tag or "",
        request.to.tag or "",
        request.get("proxy-require") or "",
        request.get("route") or "",
    )
    text = "\n".join(parts).encode("utf-8", "surrogateescape")
    return blake2b(text, digest_size=6, key=_SECRET).hexdigest()


def _has_been_here(request: Request) -> bool:
    if not request.has_repeated and "," not in (request.get("via") or ""):
        return False
    vias = request.values("via")
    mark = f".{loop_mark(request)}"
    return any((parse_via(via).branch or "").endswith(mark) for via in vias[1:])
