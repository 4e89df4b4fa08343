"""Notices: what a sender is told whose message was stored (guide chapters 1.3.3 to 1.3.6). Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sipsilo.formats import Format, Variable
from sipsilo.sip.errors import SipError
from sipsilo.sip.header_lines import one_line, stored_header_lines
from sipsilo.sip.headers import NameAddr, parse_name_addr
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor, Uri, parse_uri

MAX_REMEMBERED = 10_000
"""Pairs of sender and owner whose last notice is remembered; when there are more, the oldest are forgotten."""

AUTOMATIC = "Auto-Submitted"
"""Says that a program has written it, as in e-mail (RFC 3834 §5): two servers never answer each other."""


@dataclass(frozen=True)
class NoticeSettings:
    """Parameters of the same names; `interval` is notice_interval, in seconds."""

    from_address: Format | None = None
    offline_message: Format | None = None
    content_type_hdr: Format | None = None
    contact_hdr: Format | None = None
    use_contact: bool = True
    interval: float = 60.0

    @property
    def enabled(self) -> bool:
        """Whether there are notices."""
        return self.from_address is not None and self.offline_message is not None


class Notice(NamedTuple):
    """A notice to `recipient`: the From URI, header lines (the Content-Type among them), body."""

    recipient: NameAddr
    source: str
    headers: list[tuple[str, str]]
    body: bytes


def write_notice(
    request: Request, owner: Aor, settings: NoticeSettings, expand: Callable[[Variable], object]
) -> Notice | None:
    """The notice about a MESSAGE that was stored for `owner`; None when there is none to be sent.

    `expand` gives the variables' values. A message that a program has written gets none, nor does one from or to the
    address that notices come from: no loops. Raises ValueError when the values make no URI of from_address.
    """
    if settings.from_address is None or settings.offline_message is None or is_automatic(request):
        return None

    def safe(variable: Variable) -> str | None:
        # nothing that somebody has sent may end a header line and begin another
        value = expand(variable)
        return None if value is None else one_line(str(value))

    source = settings.from_address.expand(safe)
    try:
        address = parse_uri(source)
    except SipError:
        raise ValueError(f"from_address became {source!r}, which is no URI") from None
    answers_us = settings.from_address.is_constant and address.aor == owner
    if answers_us or _is_same(address, request.from_.uri):
        return None
    headers = [(AUTOMATIC, "auto-replied")]
    for lines in (settings.contact_hdr, settings.content_type_hdr):
        if lines is not None:
            headers += stored_header_lines(lines.expand(safe))
    body = settings.offline_message.expand(expand).encode("utf-8", "surrogateescape")
    return Notice(NameAddr(request.from_.display, request.from_.uri_text), source, headers, body)


def is_automatic(request: Request) -> bool:
    """Whether a program has written it, another server's notice for example."""
    return (request.get(AUTOMATIC.lower()) or "no").partition(";")[0].strip().lower() != "no"


def _is_same(one: Uri, other: Uri) -> bool:
    return one.aor == other.aor if one.aor is not None else (one.scheme, one.host) == (other.scheme, other.host)


def contact_of(request: Request) -> Uri | None:
    """The one SIP address that the Contact of a request names, if it does."""
    try:
        contacts = request.values("contact")
        uri = parse_name_addr(contacts[0]).uri if len(contacts) == 1 else None
    except SipError:
        return None
    return uri if uri is not None and uri.scheme == "sip" and uri.host else None


class RateLimit:
    """At most one notice to a sender about an owner in `interval` seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: dict[tuple[str, Aor], float] = {}

    def allows(self, sender: str, owner: Aor, now: float) -> bool:
        """Whether one may be sent now; if so, it counts as sent."""
        pair = (sender, owner)
        if now - self._last.get(pair, -self._interval) < self._interval:
            return False
        self._last.pop(pair, None)
        if len(self._last) >= MAX_REMEMBERED:
            del self._last[next(iter(self._last))]
        self._last[pair] = now
        return True
