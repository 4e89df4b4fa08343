"""What every request must have before anybody works on it (RFC 3261 §8.1.1, §16.3)."""

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import parse_number
from sipsilo.sip.message import Request

_SINGLE = frozenset(("from", "to", "call-id", "cseq", "max-forwards", "content-type", "content-length"))


def check_request(request: Request) -> None:
    """Raise SipError, which carries the request, when a mandatory header is missing or wrong."""
    try:
        _check(request)
    except SipError as error:
        error.request = error.request or request
        raise


def _check(request: Request) -> None:
    cseq = request.cseq
    if cseq.method != request.method:
        raise SipError(400, "CSeq Method Does Not Match", cause="cseq")
    if request.has_repeated:
        _check_single(request)
    request.call_id  # noqa: B018  reading is the check
    request.to  # noqa: B018
    request.from_  # noqa: B018
    request.via  # noqa: B018
    request.uri  # noqa: B018
    hops = request.get("max-forwards")
    if hops is not None:
        parse_number(hops, "Max-Forwards")


def _check_single(request: Request) -> None:
    """§7.3.1: only list headers may occur more than once."""
    seen = set()
    for entry in request.fields:
        name = entry[0]
        if name in _SINGLE:
            if name in seen:
                raise SipError(400, f"More Than One {name.title()} Header", cause="repeated")
            seen.add(name)


def check_required(request: Request, supported: frozenset[str] = frozenset()) -> None:
    """Raise SipError(420) when a request requires an option tag that is not supported (§8.2.2.3)."""
    if request.get("require") is None:
        return
    unsupported = [tag for tag in request.values("require") if tag.lower() not in supported]
    if unsupported:
        headers = (("Unsupported", ", ".join(unsupported)),)
        raise SipError(420, "Bad Extension", cause="require", headers=headers)
