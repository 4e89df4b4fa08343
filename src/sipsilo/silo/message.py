"""The stored message: what is kept of a MESSAGE, and the MESSAGE that is made of it again."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

from sipsilo.sip.errors import SipError
from sipsilo.sip.header_lines import WRITTEN_BY_THE_SENDER, parse_header_lines, stored_header_lines
from sipsilo.sip.headers import NameAddr, parse_date, parse_media_type, parse_name_addr, parse_number
from sipsilo.sip.message import Request
from sipsilo.sip.names import canonical_name
from sipsilo.sip.uri import Aor, parse_uri
from sipsilo.sip.validation import check_required

NEVER = 2**62
"""`next_try` of a message that was refused for good (6xx)."""

AT_REGISTRATION = -1
"""`next_try` of a message that was tried and waits for its owner to come back."""

MAX_URI = 255
MAX_OWNER_PART = 64
MAX_CONTENT_TYPE = 255
MAX_CALL_ID = 255
MAX_EXTRA_HEADERS = 32_768
"""What the columns hold (SPEC.md chapter 5). What is longer is refused, never cut."""

# Those that belong to one hop, one dialog or one authentication, and those that have columns of their own.
_NOT_REPLAYED = frozenset(
    (
        "via",
        "route",
        "record-route",
        "path",
        "contact",
        "max-forwards",
        "authorization",
        "proxy-authorization",
        "proxy-require",
        "from",
        "to",
        "call-id",
        "cseq",
        "date",
        "content-type",
        "content-length",
        # RFC 3325 §5: an identity counts only from a trusted peer, and no peer is trusted yet
        "p-asserted-identity",
        "p-preferred-identity",
    )
)
_ONE_BYTE_CHARSETS = frozenset(("utf-8", "us-ascii"))


class NotStorable(Exception):
    """This MESSAGE is not kept; `status` and `reason` are what the sender should be told."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class Attempt(NamedTuple):
    """How an attempt at delivery ended: its number, when the next may be made, the status."""

    number: int
    next_try: int
    status: int | None


NOT_TRIED = Attempt(0, 0, None)


@dataclass(frozen=True)
class StoreOptions:
    """What a script may say of a message that it stores; nothing said: as the MESSAGE is.

    `send_time`: it is a reminder, to be sent then (Unix time). `source`, `destination`: URIs, or name-addrs,
    that stand for its From and To (m_store_addrs). `extra_headers`: header lines that are kept with it
    (extra_hdrs_avp).
    """

    send_time: int = 0
    source: str = ""
    destination: str = ""
    extra_headers: str = ""


AS_IT_IS = StoreOptions()


class StoredMessage(NamedTuple):
    """A message in the silo. Times are Unix times in seconds; `mid` is 0 before it is stored.

    `source` and `destination` are the From and To URIs, with the display names apart; `headers` are the
    header lines to replay, unfolded, each with CRLF at its end (Kamailio sends that column as it is).
    `send_time` is when a reminder is to be sent, 0 for what is none; `next_try` is then the same, so that one
    look finds whatever is due.
    """

    mid: int
    owner: Aor
    source: str
    source_name: str
    destination: str
    destination_name: str
    content_type: str
    body: bytes
    headers: bytes
    call_id: str
    received: int
    originated: int
    expires: int
    attempts: int = 0
    next_try: int = 0
    last_status: int | None = None
    send_time: int = 0

    @property
    def is_reminder(self) -> bool:
        """Whether it is to be sent at a time of its own (guide chapter 1.1)."""
        return self.send_time > 0

    @classmethod
    def from_request(
        cls,
        request: Request,
        owner: Aor,
        now: float,
        lifetime: int,
        first_attempt: Attempt = NOT_TRIED,
        options: StoreOptions = AS_IT_IS,
    ) -> "StoredMessage":
        """What is kept of a MESSAGE for `owner`. Raises NotStorable, or SipError for a bad header."""
        # whoever answers for the recipient must understand what they would have to
        check_required(request)
        content_type = request.get("content-type") or ""
        if request.body and not content_type:
            raise NotStorable(400, "Missing Content-Type")  # RFC 3261 §20.15: MUST with a body
        if content_type:
            parse_media_type(content_type)
        date_text = request.get("date")
        date = None if date_text is None else parse_date(date_text)
        source = _address(options.source) if options.source else request.from_
        destination = _address(options.destination) if options.destination else request.to
        reminder = options.send_time
        life_ends = (
            _reminder_expiry(request, now, reminder, lifetime) if reminder else _expiry(request, now, date, lifetime)
        )
        fields = (
            0,
            owner,
            source.uri_text,
            source.display,
            destination.uri_text,
            destination.display,
            content_type,
            request.body,
            _replayed(request) + _extra_headers(options.extra_headers),
            request.call_id,
            int(now),
            int(now if date is None else date),
            life_ends,
            first_attempt.number,
            reminder or first_attempt.next_try,
            first_attempt.status,
            reminder,
        )
        message = cls._make(fields)  # naming seventeen arguments would take three times as long
        message._check_lengths()
        message._check_characters()
        return message

    def _check_lengths(self) -> None:
        fits = (
            len(self.owner.user) <= MAX_OWNER_PART
            and len(self.owner.host) <= MAX_OWNER_PART
            and len(self.source) <= MAX_URI
            and len(self.destination) <= MAX_URI
            and len(self.source_name) <= MAX_URI
            and len(self.destination_name) <= MAX_URI
            and len(self.content_type) <= MAX_CONTENT_TYPE
            and len(self.call_id) <= MAX_CALL_ID
            and len(self.headers) <= MAX_EXTRA_HEADERS
        )
        if not fits:
            raise NotStorable(513, "Header Too Long To Be Stored")

    def _check_characters(self) -> None:
        """What a database keeps as text must be some: PostgreSQL takes no NUL."""
        kept = self.source + self.source_name + self.destination + self.destination_name
        kept += self.content_type + self.call_id
        if "\0" in kept:
            raise NotStorable(400, "NUL in a Header")  # RFC 3261 §25.1 has it in quoted pairs only
        try:
            kept.encode()
        except UnicodeEncodeError:
            raise NotStorable(400, "Header Is Not UTF-8") from None  # RFC 3261 §7.3.1

    def to_request(
        self,
        request_uri: str,
        call_id: str,
        from_tag: str,
        *,
        add_date: bool,
        reminder: str = "",
        zone: tzinfo | None = None,
    ) -> Request:
        """The MESSAGE that delivers it (SPEC.md chapter 4, Lossless), without Via and Route.

        `reminder` is the From URI of reminders, "" where they are off: one that is left goes out as any other
        message. `zone` is that of the time in the body (parameter add_date), None for the system's.
        """
        is_reminder = self.is_reminder and reminder != ""
        source = NameAddr("", reminder) if is_reminder else NameAddr(self.source_name, self.source)
        destination = NameAddr(self.destination_name, self.destination)
        headers = [
            ("Max-Forwards", "70"),
            ("From", f"{source};tag={from_tag}"),
            ("To", str(destination)),
            ("Call-ID", call_id),
            ("CSeq", "1 MESSAGE"),
            ("Date", _sip_date(self.originated)),
        ]
        lines = stored_header_lines(self.headers.decode("utf-8", "surrogateescape")) if self.headers else []
        headers += [line for line in lines if canonical_name(line[0]) not in WRITTEN_BY_THE_SENDER]
        if self.content_type:
            headers.append(("Content-Type", self.content_type))
        body = self.body
        if add_date and _is_plain_text(self.content_type) and not _is_encoded(lines):
            # told to be an old one where that can be done without harm (parameter add_date)
            kind = "Reminder" if is_reminder else "Offline"
            body = f"[{kind} message - {_ctime(self.received, zone)}] ".encode() + body
        return Request.build("MESSAGE", request_uri, headers, body)


def _is_encoded(lines: list[tuple[str, str]]) -> bool:
    return any(canonical_name(name) == "content-encoding" for name, _ in lines)


def _address(text: str) -> NameAddr:
    """A URI, or a name-addr, whose parameters are nothing to us. Raises SipError(400)."""
    if "<" in text:
        address = parse_name_addr(text)
        return NameAddr(address.display, address.uri_text)
    parse_uri(text)
    return NameAddr("", text)


def _is_plain_text(content_type: str) -> bool:
    """Whether ASCII can be put before such a body."""
    try:
        media = parse_media_type(content_type)
    except SipError:
        return False
    charset = (media.param("charset") or "utf-8").lower()
    return media.essence == "text/plain" and (charset in _ONE_BYTE_CHARSETS or charset.startswith("iso-8859-"))


def _replayed(request: Request) -> bytes:
    lines = [
        f"{line.partition(':')[0].rstrip()}: {value}\r\n"
        for name, value, line in request.fields
        if name not in _NOT_REPLAYED
    ]
    return "".join(lines).encode("utf-8", "surrogateescape") if lines else b""


def _extra_headers(text: str) -> bytes:
    """What a script adds. Raises NotStorable for what is no header line, or a header that is not its to write."""
    if not text:
        return b""
    try:
        lines = parse_header_lines(text)
    except ValueError as error:
        raise NotStorable(500, f"Extra Headers: {error}") from None
    for name, _ in lines:
        if canonical_name(name) in WRITTEN_BY_THE_SENDER:
            raise NotStorable(500, f"Extra Headers: {name} Is Written By the Silo")
    return "".join([f"{name}: {value}\r\n" for name, value in lines]).encode("utf-8", "surrogateescape")


def _expiry(request: Request, now: float, date: float | None, lifetime: int) -> int:
    """RFC 3428 §4: Expires counts from Date when there is one, else from when it came."""
    wanted = _wanted_lifetime(request)
    if wanted is None:
        return int(now) + lifetime
    expires = min(now + lifetime, (now if date is None else date) + wanted)
    if expires <= now:
        raise NotStorable(480, "Expired")
    return int(expires)


def _reminder_expiry(request: Request, now: float, send_time: int, lifetime: int) -> int:
    """SPEC.md chapter 1, expire_time: a reminder's life begins when it is sent, or is overdue."""
    wanted = _wanted_lifetime(request)
    if wanted == 0:
        raise NotStorable(480, "Expired")
    return max(int(now), send_time) + (lifetime if wanted is None else min(lifetime, wanted))


def _wanted_lifetime(request: Request) -> int | None:
    text = request.get("expires")
    if text is None:
        return None
    try:
        return parse_number(text, "Expires")
    except SipError:
        return None  # RFC 3261 §20.19: a malformed value is as good as none


def _ctime(moment: int, zone: tzinfo | None) -> str:
    return datetime.fromtimestamp(moment, zone).ctime()


@lru_cache(maxsize=1024)
def _sip_date(moment: int) -> str:
    """RFC 3261 §20.17: always GMT."""
    return formatdate(moment, usegmt=True)
