"""The rules of §10.3: what a REGISTER makes of the bindings of an AoR. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import NameAddr, is_token, parse_name_addr, parse_number, parse_q, split_list
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Uri, equivalent, parse_uri

MAX_CONTACT = 512
MAX_CALL_ID = 255
MAX_METHODS = 255
MAX_PATH = 4096
"""What the columns hold."""


ONE_HOUR = 3600
"""§10.3 step 7: an interval of an hour or more is never too brief."""


class Received(NamedTuple):
    """The flow that a REGISTER came on: transport in upper case, our end, the peer's end.

    `natted`: the peer's Via names another address than the packet's, so the Contact cannot be trusted to
    be reachable, but this flow can (RFC 3581 §1).
    """

    transport: str
    local: tuple[str, int]
    remote: tuple[str, int]
    natted: bool


class Binding(NamedTuple):
    """One contact of an AoR. Times are Unix times; `path` holds Route values (RFC 3327), nearest hop first."""

    contact: str
    q: float
    expires_at: float
    registered_at: float
    call_id: str
    cseq: int
    path: tuple[str, ...]
    methods: str | None
    received: Received

    @property
    def uri(self) -> Uri:
        """The Contact URI taken apart."""
        return parse_uri(self.contact)

    def takes(self, method: str) -> bool:
        """Whether the contact said that it supports a method; one that said nothing does."""
        return self.methods is None or method in self.methods.split(",")

    def header(self, now: float) -> str:
        """The Contact value of a 200 to REGISTER (§10.3 step 8)."""
        q = "" if self.q == 1 else f";q={self.q:.3g}"
        return f"<{self.contact}>{q};expires={max(0, round(self.expires_at - now))}"


@dataclass(frozen=True)
class RegistrarLimits:
    """Seconds, and contacts an AoR."""

    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 86_400
    max_contacts: int = 10


class Change(NamedTuple):
    """What a REGISTER does: the bindings after it, newest first, and whether one of them is new.

    New is also a contact that registers with another Call-ID or over another flow: its phone has restarted.
    """

    bindings: tuple[Binding, ...]
    has_new: bool


def apply_register(
    current: Sequence[Binding], request: Request, received: Received, now: float, limits: RegistrarLimits
) -> Change:
    """All or nothing (§10.3). `current` are the unexpired bindings. Raises SipError."""
    contacts = request.values("contact")
    if not contacts:
        return Change(tuple(current), False)  # step 6: a query
    if contacts[0].strip() == "*" or "*" in contacts:
        return Change(_remove_all(current, request, contacts), False)
    path = _path(request)
    bindings = list(current)
    has_new = False
    for text in contacts:
        contact = parse_name_addr(text)
        old = [binding for binding in current if equivalent(binding.uri, contact.uri)]
        for binding in old:
            _check_order(binding, request)
        bindings = [binding for binding in bindings if not equivalent(binding.uri, contact.uri)]
        new = _binding(contact, request, received, path, now, limits)
        if new is not None:
            bindings.insert(0, new)
            has_new |= not any((b.call_id, b.received) == (new.call_id, new.received) for b in old)
    if len(bindings) > max(limits.max_contacts, len(current)):
        raise SipError(403, "Too Many Contacts", cause="contacts")
    return Change(tuple(bindings), has_new)


def _remove_all(current: Sequence[Binding], request: Request, contacts: list[str]) -> tuple[Binding, ...]:
    # step 6: "*" stands alone and with Expires: 0
    if len(contacts) != 1 or request.get("expires") != "0":
        raise SipError(400, "Contact * Needs Expires 0", cause="contact")
    for binding in current:
        _check_order(binding, request)
    return ()


def _check_order(old: Binding, request: Request) -> None:
    # step 7: within one Call-ID a request that was overtaken must not undo the later one
    if old.call_id == request.call_id and request.cseq.number <= old.cseq:
        raise SipError(500, "CSeq Out of Order", cause="cseq")


def _binding(
    contact: NameAddr,
    request: Request,
    received: Received,
    path: tuple[str, ...],
    now: float,
    limits: RegistrarLimits,
) -> Binding | None:
    seconds = _expires(contact, request, limits)
    if seconds == 0:
        return None
    q, methods = contact.param("q"), _methods(contact, request)
    _check_column("Contact", contact.uri_text, MAX_CONTACT)
    _check_column("Call-ID", request.call_id, MAX_CALL_ID)
    _check_column("Allow", methods or "", MAX_METHODS)
    return Binding(
        contact=contact.uri_text,
        q=1.0 if q is None else parse_q(q),
        expires_at=now + seconds,
        registered_at=now,
        call_id=request.call_id,
        cseq=request.cseq.number,
        path=path,
        methods=methods,
        received=received,
    )


def _check_column(header: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise SipError(400, f"{header} Too Long", cause="contact")
    if not value.isprintable():  # the octets that are no UTF-8 are not
        raise SipError(400, f"{header} Is Not UTF-8", cause="contact")  # §7.3.1


def _expires(contact: NameAddr, request: Request, limits: RegistrarLimits) -> int:
    """Step 7: the parameter before the header before the default; a malformed one is the default."""
    text = contact.param("expires")
    text = request.get("expires") if text is None else text
    try:
        seconds = limits.default_expires if text is None else parse_number(text, "Expires")
    except SipError:
        seconds = limits.default_expires
    if 0 < seconds < min(limits.min_expires, ONE_HOUR):
        minimum = ("Min-Expires", str(limits.min_expires))
        raise SipError(423, "Interval Too Brief", cause="expires", headers=(minimum,))
    return min(seconds, limits.max_expires)


def _methods(contact: NameAddr, request: Request) -> str | None:
    """RFC 3840 §10's methods parameter, else Allow; comma-separated, None when neither is there."""
    text = contact.param("methods")
    listed = request.values("allow") if text is None else split_list(text)
    if text is None and request.get("allow") is None:
        return None
    return ",".join(method for method in (part.strip().strip("<>") for part in listed) if is_token(method))


def _path(request: Request) -> tuple[str, ...]:
    values = tuple(request.values("path"))
    for value in values:
        parse_name_addr(value)
    if sum(map(len, values)) > MAX_PATH:
        raise SipError(400, "Path Too Long", cause="path")
    return values
