from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.sip.errors import SipError
from sipsilo.sip.limits import MAX_BODY, MAX_HEAD
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message
from sipsilo.sip.stream import Event, Ping, StreamParser
from tests.sip.growth import grows_linearly
from tests.sip.reading import answer_to, read_everything
from tests.sip.strategies import RawMessage, cuts, messages, mutated

HEAD = [
    "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1",
    "From: <sip:alice@example.org>;tag=1",
    "To: <sip:bob@example.org>",
    "Call-ID: 1@192.0.2.1",
    "CSeq: 1 MESSAGE",
]
START = "MESSAGE sip:bob@example.org SIP/2.0"


def message(*fields: str, start: str = START, length: int | None = None, body: bytes = b"Hi") -> bytes:
    """A message; its Content-Length is right unless it is said."""
    head = [start, *HEAD, *fields, f"Content-Length: {len(body) if length is None else length}", "", ""]
    return "\r\n".join(head).encode() + body


GOOD = message()


def described(event: Event) -> object:
    if isinstance(event, Ping):
        return "ping"
    if isinstance(event, SipError):
        request = event.request and event.request.to_bytes()
        return event.status, event.reason, event.cause, request
    return event.to_bytes()


def feed(pieces: Iterable[bytes]) -> tuple[list[object], bool]:
    """What comes out of a new parser, and whether it is broken."""
    parser = StreamParser()
    events = [described(event) for piece in pieces for event in parser.feed(piece)]
    return events, parser.broken


def by_byte(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


# -- the stream parser and the datagram parser agree

# Line ends between messages (§7.5), and the pings in them (RFC 5626 §4.4.1).
KEEP_ALIVES = [(b"", 0), (b"\r\n", 0), (b"\n", 0), (b"\r\n\r\n", 1), (b"\r\n\r\n\r\n", 1), (b"\r\n" * 4, 2)]

between = st.sampled_from(KEEP_ALIVES)


@given(st.lists(st.tuples(between, messages(length=True)), min_size=1, max_size=3), between, st.data())
def test_equals_the_datagram_parser(
    parts: list[tuple[tuple[bytes, int], RawMessage]], last: tuple[bytes, int], data: st.DataObject
) -> None:
    expected: list[object] = []
    for (_, pings), raw in parts:
        expected += ["ping"] * pings
        expected.append(described(parse_message(raw.data)))
    expected += ["ping"] * last[1]
    stream = b"".join(line_ends + raw.data for (line_ends, _), raw in parts) + last[0]
    for pieces in ([stream], by_byte(stream), data.draw(cuts(stream))):
        assert feed(pieces) == (expected, False)


@pytest.mark.parametrize(
    "bad",
    [
        message(start="MESSAGE  sip:bob@example.org SIP/2.0"),
        message(start="MESSAGE sip:bob@example.org SIP/3.0"),
        message("no colon"),
        message("X-Own: a\0b"),
        message("X-Own: a\nb"),
        message(*["X-Own: 1"] * 300),
    ],
)
def test_reading_goes_on_behind_a_bad_message(bad: bytes) -> None:
    # Content-Length is found where it stands, also when there are too many lines before it
    bad = bad.replace(b"\r\nContent-Length: 2", b"").replace(b"\r\nVia:", b"\r\nContent-Length: 2\r\nVia:")
    with pytest.raises(SipError) as caught:
        parse_message(bad)
    expected = [described(caught.value), described(parse_message(GOOD))]
    for pieces in ([bad + GOOD], by_byte(bad + GOOD)):
        assert feed(pieces) == (expected, False)


# -- line ends between messages


@pytest.mark.parametrize(
    ("data", "pings"),
    [
        (b"\r", 0),
        (b"\r\n", 0),
        (b"\r\n\r", 0),
        (b"\r\n\r\n", 1),
        (b"\r\n\r\n\r\n", 1),
        (b"\r\n\r\n\r\n\r\n", 2),
        (b"\n\n\n\n", 0),
        (b"\r\r\n\r\n", 1),
    ],
)
def test_keep_alive(data: bytes, pings: int) -> None:
    for pieces in ([data], by_byte(data)):
        parser = StreamParser()
        events = [event for piece in pieces for event in parser.feed(piece)]
        assert [described(event) for event in events] == ["ping"] * pings
        assert not parser.partial
        assert feed([*pieces, GOOD])[0][pings:] == [GOOD]


def test_line_ends_in_a_body_are_no_keep_alive() -> None:
    data = message(body=b"\r\n\r\n\r\n\r\n")
    assert feed(by_byte(data)) == ([data], False)


# -- what has begun


@pytest.mark.parametrize(
    ("data", "partial"),
    [
        (b"", False),
        (b"\r\n", False),
        (b"M", True),
        (b"\r\nM", True),
        (GOOD[:-3], True),
        (GOOD[:-2], True),
        (GOOD[:-1], True),
        (GOOD, False),
        (GOOD + b"\r\n", False),
        (GOOD + b"M", True),
    ],
)
def test_partial(data: bytes, partial: bool) -> None:
    parser = StreamParser()
    parser.feed(data)
    assert parser.partial is partial


def test_events_come_as_soon_as_they_can() -> None:
    parser = StreamParser()
    assert parser.feed(GOOD[:-1]) == []
    (event,) = parser.feed(GOOD[-1:] + GOOD[:5])
    assert isinstance(event, Request)
    assert event.body == b"Hi"
    assert event.uri.user == "bob"


# -- errors that lose the end of a message


@pytest.mark.parametrize(
    ("data", "status", "cause", "answerable"),
    [
        (b"garbage\r\n\r\n", 400, "garbage", False),
        (b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\nHi", 400, "garbage", False),
        (message(start="SIP/2.0 x"), 400, "malformed", False),
        # §18.3: over a stream Content-Length is mandatory
        (GOOD.replace(b"\r\nContent-Length: 2", b""), 400, "content-length", True),
        (GOOD.replace(b"Content-Length: 2", b"Content-Length: two"), 400, "content-length", True),
        (GOOD.replace(b"Content-Length: 2", b"Content-Length: -2"), 400, "content-length", True),
        (GOOD.replace(b"Content-Length: 2", b"Content-Length:"), 400, "content-length", True),
        (GOOD.replace(b"Content-Length: 2", b"Content-Length: 2, 2"), 400, "content-length", True),
        (message("no colon").replace(b"Content-Length: 2", b"Content-Length: two"), 400, "content-length", True),
        (message(length=MAX_BODY + 1), 413, "oversized", True),
        (message(length=10**9), 413, "oversized", True),
        (message(f"X-Large: {'x' * MAX_HEAD}"), 513, "oversized", False),
        (b"x" * (MAX_HEAD + 10), 513, "oversized", False),
        # RFC 4475 §3.3.9: the framing error is not recoverable
        (message("Content-Length: 1"), 400, "content-length", True),
        (message("l : 0"), 400, "content-length", True),
    ],
)
def test_broken(data: bytes, status: int, cause: str, answerable: bool) -> None:
    for pieces in ([data + GOOD], by_byte(data + GOOD)):
        parser = StreamParser()
        events = [event for piece in pieces for event in parser.feed(piece)]
        assert parser.broken
        (error,) = events
        assert isinstance(error, SipError)
        assert (error.status, error.cause) == (status, cause)
        assert (error.request is not None) is answerable
        answer_to(error)


def test_nothing_is_read_or_kept_after_an_error() -> None:
    parser = StreamParser()
    assert len(parser.feed(b"garbage\r\n\r\n")) == 1
    assert parser.feed(GOOD) == []
    assert parser.broken
    assert not parser.partial


@pytest.mark.parametrize("before", [b"", GOOD, b"\r\n\r\n"])
def test_what_came_before_an_error_is_given(before: bytes) -> None:
    events, broken = feed([before + b"garbage\r\n\r\n" + GOOD])
    assert broken
    assert events[:-1] == feed([before])[0]


# -- limits


@pytest.mark.parametrize("cut", range(-8, 1))
def test_largest_head_in_two_pieces(cut: int) -> None:
    """A head of just the largest size is taken, wherever its end is cut."""
    filling = MAX_HEAD - len(message("X-Large: ", body=b"")) + 4
    data = message(f"X-Large: {'x' * filling}", body=b"")
    place = len(data) + cut
    assert feed([data[:place], data[place:]]) == ([data], False)
    too_large = message(f"X-Large: {'x' * (filling + 1)}", body=b"")
    parser = StreamParser()
    events = [*parser.feed(too_large[:place]), *parser.feed(too_large[place:])]
    assert [event.status for event in events if isinstance(event, SipError)] == [513]
    assert parser.broken


def test_an_endless_head_is_given_up_early() -> None:
    parser = StreamParser()
    events = [event for _ in range(MAX_HEAD // 1000 + 2) for event in parser.feed(b"x" * 1000)]
    assert [event.status for event in events if isinstance(event, SipError)] == [513]
    assert parser.broken


def test_largest_body() -> None:
    data = message(body=b"x" * MAX_BODY)
    assert feed([data, GOOD]) == ([data, GOOD], False)
    assert feed([message(length=MAX_BODY + 1, body=b"")])[1]


# -- hostile input


def feed_anything(stream: bytes, pieces: list[bytes]) -> None:
    """Where a stream is cut makes no difference, and all that comes out can be used."""
    expected = feed([stream])
    assert feed(by_byte(stream)) == expected
    assert feed(pieces) == expected
    for event in StreamParser().feed(stream):
        if isinstance(event, SipError):
            answer_to(event)
        elif not isinstance(event, Ping):
            read_everything(event)


@given(st.lists(mutated(messages()) | messages(length=True).map(lambda raw: raw.data), max_size=2), st.data())
def test_mutated_streams(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    feed_anything(stream, data.draw(cuts(stream)))


@given(st.binary(), st.data())
def test_random_bytes(stream: bytes, data: st.DataObject) -> None:
    feed_anything(stream, data.draw(cuts(stream)))
    feed_anything(stream + GOOD, [stream, GOOD])
    feed_anything(GOOD + stream, [GOOD, stream])


@pytest.mark.parametrize("start", [b"", b"\r\n" + GOOD])
@pytest.mark.parametrize(
    "piece", [b"\r\n", b"\n", b"\r", b"\r\n\r", b"x", b" ", b"x\r\n", b"x\r\n ", b"\0", b"\r\nl:1", GOOD]
)
def test_time_grows_linearly(start: bytes, piece: bytes) -> None:
    def stream(size: int) -> bytes:
        return start + piece * (size // len(piece))

    assert grows_linearly(lambda data: feed([data]), stream, MAX_HEAD // 16)
    assert grows_linearly(lambda data: feed(by_byte(data)), stream, MAX_HEAD // 64)


def test_time_grows_linearly_with_a_body_and_many_messages() -> None:
    assert grows_linearly(lambda data: feed(by_byte(data)), lambda size: message(body=b"\r" * size), 2_000)
    assert grows_linearly(lambda data: feed([data]), lambda size: GOOD * size, 30)
    assert grows_linearly(lambda data: feed([data]), lambda size: message("no colon") * size, 30)
