"""What is kept of a MESSAGE, and the MESSAGE that is made of it again (SPEC.md chapter 4, Lossless)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.silo.message import AS_IT_IS, Attempt, NotStorable, StoredMessage, StoreOptions
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message
from sipsilo.sip.uri import Aor
from tests.silo.samples import BOB, PLAIN, message, stored

NOW = 1_795_000_000
SUNDAY = "Sun, 22 Nov 2026 21:40:11 GMT"
SUNDAY_TIME = 1_795_383_611


def delivered(kept: StoredMessage, *, add_date: bool = False) -> Request:
    """What the recipient reads from the network."""
    request = kept.to_request("sip:bob@192.0.2.2:5062", "2@silo", "t", add_date=add_date)
    read = parse_message(request.to_bytes())
    assert isinstance(read, Request)
    return read


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters='"\\'), max_size=20)
DISPLAYS = st.one_of(
    st.just(""),
    st.from_regex(r"[A-Za-z0-9.!%*_+`'~-]+( [A-Za-z0-9.!%*_+`'~-]+){0,2}", fullmatch=True),
    TEXT.map(lambda text: f'"{text}"'),
    TEXT.map(lambda text: f'"\\"{text}\\\\ <sip:eve@example.org>;x, "'),
)
URIS = st.sampled_from(
    [
        "sip:alice@example.org",
        "sips:alice:secret@[2001:db8::1]:5061;transport=tcp?subject=x",
        "sip:%61l%C3%BC;x=y/?@EXAMPLE.org;a;b=c",
        "sip:alicé@example.org",
        "tel:+49-30-1234;phone-context=example.org",
        "im:alice@example.org",
    ]
)
CONTENT_TYPES = st.sampled_from(
    [
        "text/plain",
        "text/plain;charset=utf-16",
        'multipart/mixed;boundary="a;b"',
        "message/cpim",
        "application/x-own;v=1",
        "image/png",
    ]
)
OWN_COLUMNS = "from to via cseq date path route contact call-id content-type content-length max-forwards".split()
HEADER_NAMES = st.one_of(
    st.sampled_from("Subject s Priority X-Own e Call-Info Reply-To Privacy k User-Agent".split()),
    st.from_regex(r"[Xx]-[A-Za-z0-9.!%*_+`'~-]+", fullmatch=True),
)
HEADER_VALUES = st.one_of(TEXT, st.just("\udcff\udc80 not UTF-8"), st.just('a, "b, c" <d>;e=f:g')).map(
    lambda text: text.strip(" \t")
)


@dataclass(frozen=True)
class Written:
    """What a sender may write."""

    source: str
    source_uri: str
    target: str
    target_uri: str
    content_type: str
    headers: list[tuple[str, str]]
    body: bytes


@given(
    st.builds(
        Written,
        DISPLAYS,
        URIS,
        DISPLAYS,
        URIS,
        CONTENT_TYPES,
        st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=5),
        st.binary(max_size=200),
    )
)
def test_nothing_is_lost(written: Written) -> None:
    request = message(
        f"Content-Type: {written.content_type}",
        f"Date: {SUNDAY}",
        *(f"{name}: {value}" for name, value in written.headers),
        source=f"{written.source} <{written.source_uri}>;tag=a",
        target=f"{written.target} <{written.target_uri}>",
        body=written.body,
    )
    copy = delivered(stored(request))
    assert copy.body == written.body
    assert (copy.from_.display, copy.from_.uri_text) == (written.source, written.source_uri)
    assert (copy.to.display, copy.to.uri_text) == (written.target, written.target_uri)
    assert copy.get("content-type") == written.content_type
    assert copy.get("date") == SUNDAY
    lines = [line for name, _, line in copy.fields if name not in OWN_COLUMNS]
    assert lines == [f"{name}: {value}" for name, value in written.headers]


@pytest.mark.parametrize(
    ("line", "replayed"),
    [
        ("Content-Encoding: gzip", "Content-Encoding: gzip"),
        ("Content-Disposition: render;handling=optional", None),
        ("Content-Language: de, en", None),
        ("Subject: Über  uns", None),
        ("Priority: urgent", None),
        ('Reply-To: "Bob" <sip:bob@example.org>', None),
        ("In-Reply-To: 1@a, 2@b", None),
        ("Call-Info: <http://example.org/a.png>;purpose=icon", None),
        ("Privacy: id", None),
        ("X-Own: 1", None),
        ("x-oWN:1", "x-oWN: 1"),
        ("X-Own \t:   1 \t ", "X-Own: 1"),
        ("X-Own:", "X-Own: "),
        ("X-Own: a\r\n b\r\n\tc", "X-Own: a b c"),
        ("Expires: 60", None),
        ("User-Agent: phone", None),
    ],
)
def test_headers_that_are_replayed(line: str, replayed: str | None) -> None:
    copy = delivered(stored(message(PLAIN, line)))
    assert (replayed or line) in [entry[2] for entry in copy.fields]


@pytest.mark.parametrize(
    "line",
    [
        "Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK-2",
        "v: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK-2",
        "Route: <sip:edge.example.org;lr>",
        "Record-Route: <sip:edge.example.org;lr>",
        "Path: <sip:edge.example.org;lr>",
        "Contact: <sip:alice@192.0.2.9>",
        "m: <sip:alice@192.0.2.9>",
        'Authorization: Digest username="alice"',
        'Proxy-Authorization: Digest username="alice"',
        # RFC 3325 §5: no peer is trusted
        "P-Asserted-Identity: <sip:alice@example.org>",
        "P-Preferred-Identity: <sip:alice@example.org>",
    ],
)
def test_headers_that_are_not_replayed(line: str) -> None:
    name = message(line).fields[-2][0]
    assert delivered(stored(message(PLAIN, line))).get(name) is None


def test_message_that_delivers() -> None:
    copy = delivered(stored())
    assert copy.start_line == "MESSAGE sip:bob@192.0.2.2:5062 SIP/2.0"
    assert [entry[2] for entry in copy.fields] == [
        "Max-Forwards: 70",
        'From: "Alice" <sip:alice@example.org>;tag=t',
        "To: <sip:bob@example.org>",
        "Call-ID: 2@silo",
        "CSeq: 1 MESSAGE",
        "Date: Wed, 18 Nov 2026 11:06:40 GMT",
        "Content-Type: text/plain",
        "Content-Length: 2",
    ]


def test_addresses_without_brackets_get_some() -> None:
    copy = delivered(stored(message(PLAIN, source="sip:alice@example.org;tag=a", target="sip:bob@example.org;x=y")))
    assert copy.get("from") == "<sip:alice@example.org>;tag=t"
    assert copy.get("to") == "<sip:bob@example.org>"


def test_headers_keep_their_order_and_repetitions() -> None:
    lines = ["X-A: 1", "X-B: 2", "X-A: 3", "x-a: 1"]
    copy = delivered(stored(message(lines[0], PLAIN, *lines[1:])))
    assert [line for name, _, line in copy.fields if name.startswith("x-")] == lines


def test_message_without_body_and_type() -> None:
    copy = delivered(stored(message(body=b"")), add_date=True)
    assert (copy.get("content-type"), copy.body, copy.get("content-length")) == (None, b"", "0")


@pytest.mark.parametrize(
    ("headers", "originated"),
    [
        ([], NOW),
        ([f"Date: {SUNDAY}"], SUNDAY_TIME),
        (["Date: Sun, 22 Nov 2026 22:40:11 +0100"], SUNDAY_TIME),
        (["Date: yesterday"], NOW),
        (["Date:"], NOW),
        (["Date: Sun, 99 Nov 2026 21:40:11 GMT"], NOW),
    ],
)
def test_date_is_the_originals(headers: Sequence[str], originated: int) -> None:
    kept = stored(message(PLAIN, *headers), now=NOW + 0.9)
    assert (kept.originated, kept.received) == (originated, NOW)
    date = delivered(kept).get("date")
    assert date == time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(originated))


PREFIX = f"[Offline message - {time.ctime(NOW)}] ".encode()


@pytest.mark.parametrize(
    ("headers", "dated"),
    [
        ([PLAIN], True),
        (["c: text/plain"], True),
        (["Content-Type: TEXT/Plain ; charset=UTF-8"], True),
        (['Content-Type: text/plain;charset="us-ascii"'], True),
        (["Content-Type: text/plain;charset=ISO-8859-15;format=flowed"], True),
        ([PLAIN, "Subject: about content-encoding: none"], True),
        (["Content-Type: text/plain;charset=utf-16"], False),
        (["Content-Type: text/plain;charset=ebcdic"], False),
        (["Content-Type: text/html"], False),
        (["Content-Type: text/plainer"], False),
        (["Content-Type: message/cpim"], False),
        (["Content-Type: application/pkcs7-mime"], False),
        (['Content-Type: multipart/mixed;boundary="text/plain"'], False),
        ([PLAIN, "Content-Encoding: gzip"], False),
        ([PLAIN, "content-encoding:gzip"], False),
        ([PLAIN, "e: gzip"], False),
        ([PLAIN, "E : gzip"], False),
    ],
)
def test_body_tells_that_it_is_old_where_that_does_no_harm(headers: Sequence[str], dated: bool) -> None:
    kept = stored(message(*headers))
    assert delivered(kept, add_date=True).body == (PREFIX + b"Hi" if dated else b"Hi")
    assert delivered(kept, add_date=False).body == b"Hi"


@pytest.mark.parametrize("body", [b"", "Grüße\r\n\r\n".encode(), bytes(range(256)) * 400])
def test_text_of_any_kind_and_length_tells_that_it_is_old(body: bytes) -> None:
    assert delivered(stored(message(PLAIN, body=body)), add_date=True).body == PREFIX + body


@pytest.mark.parametrize(
    ("date", "expires", "lifetime", "expected"),
    [
        (None, None, 3600, 3600),
        (None, "60", 3600, 60),
        (None, "7200", 3600, 3600),
        (None, "1", 3600, 1),
        (None, "9" * 30, 3600, 3600),
        # RFC 3428 §4: relative to Date
        (-50, "60", 3600, 10),
        (-59, "60", 3600, 1),
        (50, "60", 3600, 110),
        (-1000, "7200", 3600, 3600),
        (10_000, "60", 3600, 3600),
        # the lifetime counts from receipt in any case
        (-50, None, 3600, 3600),
        (10_000, None, 3600, 3600),
        # deliver now or never
        (None, "0", 3600, None),
        (0, "0", 3600, None),
        (-60, "60", 3600, None),
        (-100, "60", 3600, None),
        (100, "0", 3600, 100),
        # RFC 3261 §20.19: a malformed value is as good as none
        (None, "soon", 3600, 3600),
        (None, "-1", 3600, 3600),
        (None, "", 3600, 3600),
    ],
)
def test_expiry(date: int | None, expires: str | None, lifetime: int, expected: int | None) -> None:
    headers = [PLAIN]
    if date is not None:
        headers.append(time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime(NOW + date)))
    if expires is not None:
        headers.append(f"Expires: {expires}")
    if expected is None:
        with pytest.raises(NotStorable) as caught:
            stored(message(*headers), lifetime=lifetime)
        assert caught.value.status == 480
    else:
        assert stored(message(*headers), lifetime=lifetime).expires == NOW + expected


def test_first_attempt_is_kept() -> None:
    attempt = Attempt(1, NOW + 30, 486)
    kept = StoredMessage.from_request(message(PLAIN), BOB, NOW, 3600, attempt)
    assert (kept.attempts, kept.next_try, kept.last_status) == attempt
    assert (stored().attempts, stored().next_try, stored().last_status) == (0, 0, None)


def uri(length: int) -> str:
    return f"sip:{'x' * (length - len('sip:@example.org'))}@example.org"


def owner(user: int = 3, host: int = 3) -> Aor:
    return Aor("u" * user, "h" * host)


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        pytest.param(64, lambda n: stored(owner=owner(user=n)), id="user"),
        pytest.param(64, lambda n: stored(owner=owner(host=n)), id="host"),
        pytest.param(255, lambda n: stored(message(PLAIN, source=f"<{uri(n)}>;tag=1")), id="From URI"),
        pytest.param(255, lambda n: stored(message(PLAIN, target=f"<{uri(n)}>")), id="To URI"),
        pytest.param(255, lambda n: stored(message(PLAIN, source=f"{'ü' * n} <sip:a@b>;tag=1")), id="From name"),
        pytest.param(255, lambda n: stored(message(PLAIN, target=f"{'ü' * n} <sip:a@b>")), id="To name"),
        pytest.param(255, lambda n: stored(message(f"Content-Type: text/{'x' * (n - 5)}")), id="Content-Type"),
        pytest.param(255, lambda n: stored(message(PLAIN, call_id="c" * n)), id="Call-ID"),
    ],
)
def test_what_does_not_fit_a_column_is_refused(width: int, kept: Callable[[int], StoredMessage]) -> None:
    """SPEC.md chapter 5: never cut."""
    kept(width)
    with pytest.raises(NotStorable) as caught:
        kept(width + 1)
    assert caught.value.status == 513


@pytest.mark.parametrize(
    "request_",
    [
        message(PLAIN, source="<sip:\udcff@example.org>;tag=1"),
        message(PLAIN, source='"\udcff" <sip:alice@example.org>;tag=1'),
        message(PLAIN, target="<sip:\udcff@example.org>"),
        message(PLAIN, target='"\udcff" <sip:bob@example.org>'),
        message('Content-Type: text/plain;x="\udcff"'),
        message(PLAIN, call_id="\udcff"),
        message(body=b"no Content-Type"),
        # PostgreSQL holds no NUL; RFC 3261 §25.1 allows it in quoted pairs
        message(PLAIN, source='"a\\\0" <sip:alice@example.org>;tag=1'),
        message(PLAIN, target='"a\\\0" <sip:bob@example.org>'),
        message('Content-Type: text/plain;x="a\\\0"'),
    ],
)
def test_what_cannot_be_kept_is_refused(request_: Request) -> None:
    with pytest.raises(NotStorable) as caught:
        stored(request_)
    assert caught.value.status == 400


def test_nul_in_a_header_of_no_column_is_kept() -> None:
    line = 'X-Own: "a\\\0"'
    assert line in [entry[2] for entry in delivered(stored(message(PLAIN, line))).fields]


@pytest.mark.parametrize("content_type", ["text", "text/", "/plain", "text/plain; x=", "text/plain, text/html"])
def test_bad_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(SipError) as caught:
        stored(message(f"Content-Type: {content_type}"))
    assert caught.value.status == 400


@pytest.mark.parametrize("content_type", ['multipart/mixed; boundary="0123456', "text", "text/plain;", "übel"])
def test_row_of_another_program_can_be_delivered_whatever_its_type(content_type: str) -> None:
    """Kamailio's ctype is 32 characters wide, and MariaDB may have cut what did not fit."""
    kept = stored()._replace(content_type=content_type)
    assert delivered(kept, add_date=True).get("content-type") == content_type


# -- reminders


def reminder(seconds: int, *headers: str, lifetime: int = 3600) -> StoredMessage:
    options = StoreOptions(send_time=NOW + seconds)
    return StoredMessage.from_request(message(PLAIN, *headers), BOB, NOW + 0.9, lifetime, options=options)


@pytest.mark.parametrize(
    ("seconds", "expires", "expected"),
    [
        (1000, None, 1000 + 3600),
        (10**7, None, 10**7 + 3600),
        (1000, "60", 1000 + 60),
        (1000, "7200", 1000 + 3600),
        (1000, "soon", 1000 + 3600),
        # overdue: it is sent at once, and has its life before it
        (-1000, None, 3600),
        (-(10**6), "60", 60),
        (1000, "0", None),
    ],
)
def test_expiry_of_a_reminder_counts_from_its_time(seconds: int, expires: str | None, expected: int | None) -> None:
    headers = [] if expires is None else [f"Expires: {expires}"]
    if expected is None:
        with pytest.raises(NotStorable) as caught:
            reminder(seconds, *headers)
        assert caught.value.status == 480
    else:
        kept = reminder(seconds, *headers)
        assert kept.expires == NOW + expected
        assert kept.next_try == kept.send_time == NOW + seconds


def test_reminder_comes_from_its_own_address() -> None:
    kept = reminder(1000)
    copy = kept.to_request("sip:b@h", "1@s", "t", add_date=True, reminder="sip:reminder@example.org")
    assert copy.get("from") == "<sip:reminder@example.org>;tag=t"
    assert copy.get("to") == "<sip:bob@example.org>"
    assert copy.body == f"[Reminder message - {time.ctime(NOW)}] Hi".encode()


@pytest.mark.parametrize(("kept", "uri"), [(reminder(1000), ""), (stored(), "sip:reminder@example.org")])
def test_what_is_no_reminder_comes_from_its_sender(kept: StoredMessage, uri: str) -> None:
    copy = kept.to_request("sip:b@h", "1@s", "t", add_date=True, reminder=uri)
    assert copy.from_.uri_text == "sip:alice@example.org"
    assert copy.body == PREFIX + b"Hi"


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("UTC", "Wed Nov 18 11:06:40 2026"), ("Asia/Tokyo", "Wed Nov 18 20:06:40 2026")],
)
def test_time_in_the_body_is_of_the_servers_zone(zone: str, expected: str) -> None:
    copy = stored().to_request("sip:b@h", "1@s", "t", add_date=True, zone=ZoneInfo(zone))
    assert copy.body == f"[Offline message - {expected}] Hi".encode()


# -- what a script, or another program, adds


def test_each_kept_line_has_its_end() -> None:
    """Kamailio puts the column into its messages as it is."""
    assert stored(message(PLAIN, "X-A: 1", "X-B:2")).headers == b"X-A: 1\r\nX-B: 2\r\n"
    assert stored().headers == b""


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        (b"X-A: 1\r\nX-B: 2\r\n", ["X-A: 1", "X-B: 2"]),
        (b"X-A: 1\r\nX-B: 2", ["X-A: 1", "X-B: 2"]),
        (b"X-A:1\nX-B: 2\n", ["X-A: 1", "X-B: 2"]),
        (b"X-A: 1\r\n\r\nbody", ["X-A: 1"]),
        (b"\r\n", []),
        (b"nonsense\r\nX-A: 1\r\n: 2\r\n", ["X-A: 1"]),
        # what we write ourselves stands there once
        (b"From: <sip:eve@example.org>\r\nv: x\r\nContent-Length: 9\r\nX-A: 1\r\n", ["X-A: 1"]),
    ],
)
def test_rows_of_other_programs_are_read(headers: bytes, lines: list[str]) -> None:
    copy = delivered(stored()._replace(headers=headers))
    usual = [entry[2] for entry in delivered(stored()).fields]
    assert [entry[2] for entry in copy.fields if entry[2] not in usual] == lines
    assert len(copy.get_all("from")) == 1


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (StoreOptions(extra_headers="no header line"), 500),
        (StoreOptions(extra_headers="X-A: 1\r\n\r\nX-B: 2\r\n"), 500),
        (StoreOptions(extra_headers="X-A: 1\r\nFrom: <sip:eve@example.org>\r\n"), 500),
        (StoreOptions(extra_headers="l: 5"), 500),
        (StoreOptions(source="alice"), 400),
        (StoreOptions(source="<sip:a b>"), 400),
        (StoreOptions(destination='"Bob <sip:bob@example.org>'), 400),
        (StoreOptions(source="sip:" + "a" * 300 + "@example.org"), 513),
    ],
)
def test_what_a_script_must_not_say(options: StoreOptions, status: int) -> None:
    with pytest.raises((NotStorable, SipError)) as caught:
        StoredMessage.from_request(message(PLAIN), BOB, NOW, 3600, options=options)
    assert caught.value.status == status


def test_nothing_said_changes_nothing() -> None:
    assert StoredMessage.from_request(message(PLAIN), BOB, NOW, 3600, options=AS_IT_IS) == stored()
