"""Requests and responses: an ordered list of header fields and a body (RFC 3261 §7).

A header field is kept as the line it came in, so that what nobody touches goes out byte for byte; its
typed value is read at the first asking and kept.
"""

from collections.abc import Iterable
from typing import Self

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import CSeq, NameAddr, Via, parse_again, parse_cseq, parse_name_addr, parse_via, split_list
from sipsilo.sip.limits import MAX_LIST
from sipsilo.sip.names import canonical_name
from sipsilo.sip.status import REASONS
from sipsilo.sip.uri import Uri, parse_uri

ANSWER_HEADERS = frozenset(("via", "from", "to", "call-id", "cseq"))
"""What a response takes over from its request (§8.2.6.2)."""


_OFTEN_REPEATED = 128
"""Characters of a To that is remembered as it was read: a user's, not an attacker's."""


Field = tuple[str, str, str]
"""One header field: lower-case long name, value without folding, the line as it goes out."""


def field(name: str, value: str) -> Field:
    """A new header field, written the usual way."""
    return canonical_name(name), value, f"{name}: {value}"


class Message:
    """What requests and responses share. Header names are asked for in lower case, long form."""

    __slots__ = ("_cseq", "_first", "_from", "_to", "_via", "body", "fields")

    def __init__(self, fields: list[Field], body: bytes) -> None:
        self.fields = fields
        self.body = body
        self._forget()

    def _forget(self) -> None:
        self._via: Via | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._cseq: CSeq | None = None
        self._first: dict[str, str] | None = None

    @property
    def start_line(self) -> str:
        """The first line, without its end."""
        raise NotImplementedError

    # -- reading

    def get(self, name: str) -> str | None:
        """The value of the first field of that name."""
        first = self._first
        if first is None:
            first = self._first = {entry[0]: entry[1] for entry in reversed(self.fields)}
        return first.get(name)

    @property
    def has_repeated(self) -> bool:
        """Whether any header has more than one field."""
        self.get("via")
        return self._first is not None and len(self._first) != len(self.fields)

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of that name, a line each."""
        return [entry[1] for entry in self.fields if entry[0] == name]

    def values(self, name: str) -> list[str]:
        """The values of a comma-separated header, over all its lines (§7.3.1). Raises SipError(400)."""
        values = [part for value in self.get_all(name) for part in split_list(value)]
        if len(values) > MAX_LIST:
            raise SipError(400, "Too Many Values in a Header")
        return values

    @property
    def via(self) -> Via:
        """The topmost Via. Raises SipError(400)."""
        if self._via is None:
            value = self._required("via")
            self._via = parse_via(next(iter(split_list(value)), "") if "," in value else value)
        return self._via

    @property
    def from_(self) -> NameAddr:
        """The From header. Raises SipError(400)."""
        if self._from is None:
            self._from = parse_name_addr(self._required("from"))
        return self._from

    @property
    def to(self) -> NameAddr:
        """The To header. Raises SipError(400)."""
        if self._to is None:
            text = self._required("to")
            # that of a request has no tag as a rule, so it comes again
            self._to = parse_again(text) if len(text) <= _OFTEN_REPEATED else parse_name_addr(text)
        return self._to

    @property
    def cseq(self) -> CSeq:
        """The CSeq header. Raises SipError(400)."""
        if self._cseq is None:
            self._cseq = parse_cseq(self._required("cseq"))
        return self._cseq

    @property
    def call_id(self) -> str:
        """The Call-ID header. Raises SipError(400)."""
        return self._required("call-id")

    def _required(self, name: str) -> str:
        value = self.get(name)
        if not value:
            raise SipError(400, f"Missing {name.title()} Header")
        return value

    # -- changing

    def add(self, name: str, value: str) -> None:
        """Append a field."""
        self.fields.append(field(name, value))
        self._forget()

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others (Via, Route, Record-Route)."""
        self.fields.insert(0, field(name, value))
        self._forget()

    def set(self, name: str, value: str) -> None:
        """Make the header have this one value, at the place of its first field or at the end."""
        key = canonical_name(name)
        place = next((i for i, entry in enumerate(self.fields) if entry[0] == key), len(self.fields))
        self.fields = [entry for entry in self.fields if entry[0] != key]
        self.fields.insert(place, field(name, value))
        self._forget()

    def remove(self, *names: str) -> None:
        """Take out every field of these lower-case names."""
        self.fields = [entry for entry in self.fields if entry[0] not in names]
        self._forget()

    def replace_first(self, name: str, value: str | None) -> None:
        """Change the topmost value of a list header, or take it out (None); its others stay as they are."""
        key = canonical_name(name)
        for index, entry in enumerate(self.fields):
            if entry[0] == key:
                others = split_list(entry[1])[1:]
                values = others if value is None else [value, *others]
                self.fields[index : index + 1] = [field(name, ", ".join(values))] if values else []
                self._forget()
                return

    def push_via(self, via: Via) -> None:
        """Put a new Via on top."""
        text = str(via)
        self.fields.insert(0, ("via", text, f"Via: {text}"))
        self._via = via
        self._first = None

    def replace_via(self, via: Via) -> None:
        """Change the topmost Via; what was read of the other headers stays."""
        for index, (name, value, _) in enumerate(self.fields):
            if name == "via":
                others = split_list(value)[1:] if "," in value else []
                text = ", ".join([str(via), *others])
                self.fields[index] = "via", text, f"Via: {text}"
                if self._first is not None:
                    self._first["via"] = text
                break
        self._via = via

    def set_content_length(self) -> None:
        """Write a Content-Length that fits the body, where there is none (§18.3: streams need one)."""
        if self.get("content-length") is None:
            self.add("Content-Length", str(len(self.body)))

    def to_bytes(self) -> bytes:
        """The message as it goes out."""
        head = "\r\n".join([self.start_line, *[entry[2] for entry in self.fields], "\r\n"])
        return head.encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    """A request: method, Request-URI, fields, body."""

    __slots__ = ("_start_line", "_uri_text", "method")

    def __init__(
        self,
        method: str,
        uri_text: str,
        fields: list[Field],
        body: bytes = b"",
        start_line: str | None = None,
    ) -> None:
        self.method = method
        self._uri_text = uri_text
        self._start_line = start_line or f"{method} {uri_text} SIP/2.0"
        super().__init__(fields, body)

    @classmethod
    def build(cls, method: str, uri: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Self:
        """A new request; Content-Length is added."""
        fields = [field(name, value) for name, value in headers]
        fields.append(field("Content-Length", str(len(body))))
        return cls(method, uri, fields, body)

    @property
    def start_line(self) -> str:
        """The Request-Line (§7.1)."""
        return self._start_line

    @property
    def uri_text(self) -> str:
        """The Request-URI as it is written."""
        return self._uri_text

    @uri_text.setter
    def uri_text(self, text: str) -> None:
        self._uri_text = text
        self._start_line = f"{self.method} {text} SIP/2.0"

    @property
    def uri(self) -> Uri:
        """The Request-URI taken apart. Raises SipError(400)."""
        return parse_uri(self._uri_text)

    def copy(self) -> "Request":
        """A copy whose fields can be changed without changing this request."""
        return Request(self.method, self._uri_text, list(self.fields), self.body, self._start_line)

    def response(
        self,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> "Response":
        """A response to this request (§8.2.6): Via, From, To, Call-ID and CSeq are taken over.

        `to_tag` is added to a To without one (100 gets none, §8.2.6.2).
        """
        fields = [entry for entry in self.fields if entry[0] in ANSWER_HEADERS]
        if to_tag is not None and not self._to_is_tagged():
            fields = [_with_tag(entry, to_tag) if entry[0] == "to" else entry for entry in fields]
        fields.extend(field(name, value) for name, value in headers)
        fields.append(field("Content-Length", str(len(body))) if body else _EMPTY)
        return Response(status, REASONS.get(status, "Unknown") if reason is None else reason, fields, body)

    def _to_is_tagged(self) -> bool:
        try:
            return self.to.tag is not None
        except SipError:
            return True  # an unreadable To goes back as it came


def _with_tag(to: Field, tag: str) -> Field:
    value = f"{to[1]};tag={tag}"
    return "to", value, f"To: {value}"


_EMPTY = field("Content-Length", "0")


class Response(Message):
    """A response: status code, reason phrase, fields, body."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, fields: list[Field], body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        super().__init__(fields, body)

    @property
    def start_line(self) -> str:
        """The Status-Line (§7.2)."""
        return f"SIP/2.0 {self.status} {self.reason}"
