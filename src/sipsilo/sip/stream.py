"""Messages out of a byte stream: framing by Content-Length (RFC 3261 §18.3), keep-alives (RFC 5626 §4.4.1)."""

from sipsilo.sip.errors import SipError
from sipsilo.sip.limits import MAX_BODY, MAX_HEAD
from sipsilo.sip.message import Request, Response
from sipsilo.sip.parser import attach, content_length, parse_head


class Ping:
    """A double CRLF between messages, to be answered with one CRLF (RFC 5626 §4.4.1)."""


PING = Ping()

Event = Request | Response | SipError | Ping


class StreamParser:
    """Takes what a connection brings, in pieces of any size, and gives the messages in it.

    A message that is bad but whose end is known comes out as a SipError, and reading goes on behind it.
    After an error by which the end of a message is lost, `broken` is set and nothing more is read: the
    connection must be closed.
    """

    __slots__ = ("_buffer", "_error", "_message", "_missing", "_searched", "broken")

    def __init__(self) -> None:
        self.broken = False
        self._buffer = bytearray()
        self._searched = 0  # no head ends before this place, so no byte is searched twice
        self._message: Request | Response | None = None  # the one whose body is awaited
        self._error: SipError | None = None  # or what was wrong with its head
        self._missing = -1  # the length of that body; -1 while a head is awaited

    @property
    def partial(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self._missing >= 0 or bool(self._buffer.lstrip(b"\r\n"))

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, give the events that they complete, in order."""
        events: list[Event] = []
        if not self.broken:
            self._buffer += data
        while not self.broken:
            event = self._next_body() if self._missing >= 0 else self._next_head()
            if event is None:
                break
            if event is not _AGAIN:
                events.append(event)
        return events

    def _next_head(self) -> Event | None:
        buffer = self._buffer
        if buffer.startswith((b"\r", b"\n")):
            return self._skip_line_ends()
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3))
        if end < 0:
            self._searched = len(buffer)
            return self._break(_too_large()) if len(buffer) > MAX_HEAD + 3 else None
        if end > MAX_HEAD:
            return self._break(_too_large())
        head = bytes(buffer[:end])
        del buffer[: end + 4]
        self._searched = 0
        return self._frame(head)

    def _skip_line_ends(self) -> Event | None:
        """Line ends before a start line are no part of it (§7.5); two of them are a ping."""
        buffer = self._buffer
        if buffer[:4] == b"\r\n\r\n":
            del buffer[:4]
            return PING
        if b"\r\n\r\n".startswith(buffer):
            return None
        del buffer[: 2 if buffer[:2] == b"\r\n" else 1]
        return _AGAIN

    def _frame(self, head: bytes) -> Event | None:
        try:
            self._message = parse_head(head)
            message = self._message
        except SipError as error:
            if error.request is None:
                return self._break(error)
            self._error = error
            message = error.request
        try:
            length = content_length(message)
            if length is None:
                # §18.3: over a stream, Content-Length is the only end that a message has
                raise SipError(400, "Missing Content-Length", cause="content-length")
            if length > MAX_BODY:
                raise SipError(413, "Request Entity Too Large", cause="oversized")
        except SipError as error:
            return self._break(attach(error, message))
        self._missing = length
        return _AGAIN

    def _next_body(self) -> Event | None:
        if len(self._buffer) < self._missing:
            return None
        body = bytes(self._buffer[: self._missing])
        del self._buffer[: self._missing]
        self._missing = -1
        message, error = self._message, self._error
        self._message = self._error = None
        if error is not None:
            return error
        assert message is not None
        message.body = body
        return message

    def _break(self, error: SipError) -> Event:
        self.broken = True
        self._buffer.clear()
        return error


_AGAIN = Ping()  # an inner step was made; look again


def _too_large() -> SipError:
    return SipError(513, "Message Too Large", cause="oversized")
