"""Notices: who gets one, and what it says."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sipsilo.formats import Variable, parse_format
from sipsilo.silo import notices
from sipsilo.silo.notices import NoticeSettings, RateLimit, contact_of, is_automatic, write_notice
from sipsilo.sip.uri import Aor
from tests.silo.samples import ALICE, BOB, PLAIN, message

SETTINGS = NoticeSettings(
    from_address=parse_format("sip:$rU@example.org"),
    offline_message=parse_format("*** User $rU is offline!"),
    content_type_hdr=parse_format("Content-Type: text/plain\r\n"),
    contact_hdr=parse_format("Contact: <sip:null@example.org>\r\nX-About: $hdr(Subject)\r\n"),
)


def held(**values: object) -> dict[str, object]:
    return {"$rU": "bob", "$hdr(Subject)": "lunch"} | {f"${name}": value for name, value in values.items()}


def expander(values: dict[str, object]) -> Callable[[Variable], object]:
    return lambda variable: values[str(variable)]


def test_notice_is_what_the_parameters_say() -> None:
    notice = write_notice(message(PLAIN), BOB, SETTINGS, expander(held()))
    assert notice is not None
    assert str(notice.recipient) == '"Alice" <sip:alice@example.org>'
    assert notice.source == "sip:bob@example.org"
    assert notice.headers == [
        ("Auto-Submitted", "auto-replied"),
        ("Contact", "<sip:null@example.org>"),
        ("X-About", "lunch"),
        ("Content-Type", "text/plain"),
    ]
    assert notice.body == b"*** User bob is offline!"


def test_values_end_no_line() -> None:
    values = held()
    values["$hdr(Subject)"] = "lunch\r\nFrom: <sip:eve@example.org>\r\n\r\n\0"
    notice = write_notice(message(PLAIN), BOB, SETTINGS, expander(values))
    assert notice is not None
    assert dict(notice.headers)["X-About"].startswith("lunch  From: ")
    assert len(notice.headers) == 4


def test_values_stay_as_they_are_in_the_body() -> None:
    settings = replace(SETTINGS, from_address=parse_format("sip:x@example.org"))
    notice = write_notice(message(PLAIN), BOB, settings, expander(held(rU="böb\r\n\0")))
    assert notice is not None
    assert notice.body == "*** User böb\r\n\0 is offline!".encode()


@pytest.mark.parametrize("user", [None, "", "a b", "a>", "b\r\nX: y", "a@b"])
def test_values_that_make_no_uri_are_told(user: object) -> None:
    with pytest.raises(ValueError, match="from_address became"):
        write_notice(message(PLAIN), BOB, SETTINGS, expander(held(rU=user)))


@pytest.mark.parametrize("missing", ["from_address", "offline_message"])
def test_no_notice_without_address_and_text(missing: str) -> None:
    values = {name: getattr(SETTINGS, name) for name in ("from_address", "offline_message", "content_type_hdr")}
    settings = NoticeSettings(**values | {missing: None})
    assert not settings.enabled
    assert write_notice(message(PLAIN), BOB, settings, expander(held())) is None


FIXED = NoticeSettings(parse_format("sip:registrar@example.org"), parse_format("away"))


@pytest.mark.parametrize(
    ("settings", "source", "headers", "owner", "sent"),
    [
        (FIXED, "<sip:alice@example.org>;tag=1", [], BOB, True),
        (FIXED, "<sip:registrar@example.org>;tag=1", [], BOB, False),
        (FIXED, '"Us" <sip:registrar@EXAMPLE.org:5080;x=y>;tag=1', [], BOB, False),
        (FIXED, "<sip:registrar@example.com>;tag=1", [], BOB, True),
        # to the address that notices come from: another server's notice, perhaps
        (FIXED, "<sip:alice@example.org>;tag=1", [], Aor("registrar", "example.org"), False),
        (SETTINGS, "<sip:alice@example.org>;tag=1", [], BOB, True),
        # from_address is the recipient's own then
        (SETTINGS, "<sip:bob@example.org>;tag=1", [], BOB, False),
        # RFC 3834
        (FIXED, "<sip:alice@example.org>;tag=1", ["Auto-Submitted: auto-replied"], BOB, False),
        (FIXED, "<sip:alice@example.org>;tag=1", ["auto-submitted: Auto-Generated; x=y"], BOB, False),
        (FIXED, "<sip:alice@example.org>;tag=1", ["Auto-Submitted: no"], BOB, True),
        (FIXED, "<tel:+49301234>;tag=1", [], BOB, True),
    ],
)
def test_who_gets_a_notice(settings: NoticeSettings, source: str, headers: list[str], owner: Aor, sent: bool) -> None:
    request = message(PLAIN, *headers, source=source)
    assert (write_notice(request, owner, settings, expander(held())) is not None) is sent


def test_notice_is_automatic_itself() -> None:
    notice = write_notice(message(PLAIN), BOB, FIXED, expander({}))
    assert notice is not None
    assert is_automatic(message(PLAIN, *(f"{name}: {value}" for name, value in notice.headers)))


@pytest.mark.parametrize(
    ("lines", "uri"),
    [
        (["Contact: <sip:alice@192.0.2.1:5062>"], "sip:alice@192.0.2.1:5062"),
        (['m: "A" <sip:alice@192.0.2.1>;q=1'], "sip:alice@192.0.2.1"),
        ([], None),
        (["Contact: *"], None),
        (["Contact: <sips:alice@192.0.2.1>"], None),
        (["Contact: <tel:+49301234>"], None),
        (["Contact: <sip:a@192.0.2.1>, <sip:b@192.0.2.1>"], None),
        (["Contact: <sip:a@192.0.2.1>", "Contact: <sip:b@192.0.2.1>"], None),
        (['Contact: "'], None),
        (["Contact:"], None),
    ],
)
def test_contact_of_the_sender(lines: list[str], uri: str | None) -> None:
    found = contact_of(message(PLAIN, *lines))
    assert (None if found is None else found.text) == uri


def test_rate_is_limited() -> None:
    limit = RateLimit(60)
    asked = [
        ("a", BOB, 0),
        ("a", BOB, 59.9),
        ("a", ALICE, 1),
        ("b", BOB, 1),
        ("a", BOB, 60),
        ("a", BOB, 119),
        ("a", BOB, 120),
    ]
    assert [limit.allows(*each) for each in asked] == [True, False, True, True, True, False, True]


def test_no_limit_when_the_interval_is_0() -> None:
    limit = RateLimit(0)
    assert all(limit.allows("a", BOB, 5) for _ in range(3))


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "MAX_REMEMBERED", 10)
    limit = RateLimit(60)
    for number in range(100):
        assert limit.allows(str(number), BOB, number / 100)
    assert len(limit._last) == 10
    assert not limit.allows("99", BOB, 2)
    assert not limit.allows("90", BOB, 2)
    assert limit.allows("89", BOB, 2)
