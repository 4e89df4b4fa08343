"""Notices on their way to senders, over real sockets."""

import asyncio

import pytest

from sipsilo.formats import Format, parse_format
from sipsilo.routing import notifier
from sipsilo.routing.carrier import CarrierSettings
from sipsilo.silo.notices import NoticeSettings
from tests.acceptance.agent import DOMAIN, Agent
from tests.acceptance.programs import LOOPBACK
from tests.acceptance.wire import Sip
from tests.routing.post import MARK, PostOffice, run_office, run_with_proxy
from tests.routing.quick import make_transactions_quick

FROM = f"sip:registrar@{DOMAIN}"
BOB = f"sip:bob@{DOMAIN}"


def settings(**changes: object) -> NoticeSettings:
    values: dict[str, object] = {
        "from_address": parse_format(FROM),
        "offline_message": parse_format("*** User $rU is offline!"),
        "content_type_hdr": parse_format("Content-Type: text/plain\r\n"),
        "contact_hdr": parse_format("Contact: <sip:null@example.com>\r\n"),
    }
    return NoticeSettings(**values | changes)  # type: ignore[arg-type]


async def send(phone: Agent, *headers: str, sender: str = "alice", user: str = "bob", contact: str | None = "") -> None:
    """A MESSAGE to Bob, with the phone's Contact, another one, or none (None)."""
    lines = list(headers)
    if contact is not None:
        lines.append(f"Contact: <{contact or phone.contact(sender)}>")
    assert (await phone.message(user, "Hi", *lines, sender=sender)).status == 202


async def noticed(phone: Agent) -> Sip:
    """The notice that came, the only one."""
    await phone.until_received(1, 3)
    (got,) = phone.received
    return got


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sender_is_told(transport: str) -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone(transport)
        await send(alice)
        got = await noticed(alice)
        assert got.start == f"MESSAGE {alice.contact('alice')} SIP/2.0"
        assert got.text == "*** User bob is offline!"
        assert got.header("from").startswith(f"<{FROM}>;tag=")
        assert got.header("to") == f"<sip:alice@{DOMAIN}>"
        assert got.header("call-id").endswith(f"@{MARK}")
        assert got.all("content-type") == ["text/plain"]
        assert got.all("contact") == ["<sip:null@example.com>"]
        assert got.all("auto-submitted") == ["auto-replied"]
        assert len(got.all("via")) == len(got.all("max-forwards")) == len(got.all("cseq")) == 1
        await office.until_counted("notices.sent")

    run_office(scenario, notices=settings())


@pytest.mark.parametrize("contact", ["sip:alice@{host}:{port}", "sip:alice@nat.invalid:5099;transport=udp"])
def test_notice_goes_over_the_flow_when_the_contact_is_its_own(contact: str) -> None:
    """By the packet's address, or, behind a NAT, as the Via names it."""

    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        via = "SIP/2.0/UDP nat.invalid:5099;rport;branch=z9hG4bK-nat"
        contact_uri = contact.format(host=LOOPBACK, port=alice.port)
        lines = [
            f"MESSAGE {BOB} SIP/2.0",
            f"Via: {via}",
            f"From: <sip:alice@{DOMAIN}>;tag=1",
            f"To: <{BOB}>",
            "Call-ID: 1",
            "CSeq: 1 MESSAGE",
            f"Contact: <{contact_uri}>",
            "Content-Length: 0",
            "",
            "",
        ]
        alice._send("\r\n".join(lines).encode())
        got = await noticed(alice)
        assert got.start == f"MESSAGE {contact_uri} SIP/2.0"

    run_office(scenario, notices=settings())


def test_contact_elsewhere_is_sent_to() -> None:
    async def scenario(office: PostOffice) -> None:
        alice, other = await office.phone(), await office.phone()
        await send(alice, contact=other.contact("alice"))
        assert (await noticed(other)).start == f"MESSAGE {other.contact('alice')} SIP/2.0"
        assert alice.received == []

    run_office(scenario, notices=settings())


@pytest.mark.parametrize(("use_contact", "contact"), [(False, ""), (True, None), (True, "tel:+49301234")])
def test_without_contact_the_notice_goes_to_the_senders_binding(use_contact: bool, contact: str | None) -> None:
    async def scenario(office: PostOffice) -> None:
        alice, old, newest = await office.phone(), await office.phone(), await office.phone()
        await office.bind(old, "alice")
        await office.bind(newest, "alice", path=(f"<sip:{LOOPBACK}:{newest.port};lr;x=1>",))
        await send(alice, contact=contact)
        got = await noticed(newest)
        assert got.start == f"MESSAGE {newest.contact('alice')} SIP/2.0"
        assert got.all("route") == [f"<sip:{LOOPBACK}:{newest.port};lr;x=1>"]
        assert got.header("to") == f"<sip:alice@{DOMAIN}>"
        assert (alice.received, old.received) == ([], [])

    run_office(scenario, notices=settings(use_contact=use_contact))


def test_no_notice_to_a_user_of_ours_who_is_not_bound() -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        await send(alice)
        await office.until_counted("notices.failed")
        await asyncio.sleep(0.02)
        assert (alice.received, len(office.taken)) == ([], 1)

    run_office(scenario, notices=settings(use_contact=False))


def test_sender_of_another_host_is_sent_to_there() -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        lines = [f"From: <sip:alice@{LOOPBACK}:{alice.port};x=y>;tag=1"]
        raw = [
            f"MESSAGE {BOB} SIP/2.0",
            f"Via: SIP/2.0/UDP {LOOPBACK}:{alice.port};branch=z9hG4bK-1",
            *lines,
            f"To: <{BOB}>",
            "Call-ID: 1",
            "CSeq: 1 MESSAGE",
            "Content-Length: 0",
            "",
            "",
        ]
        alice._send("\r\n".join(raw).encode())
        assert (await noticed(alice)).start == f"MESSAGE sip:alice@{LOOPBACK}:{alice.port};x=y SIP/2.0"

    run_office(scenario, notices=settings())


@pytest.mark.parametrize(("transport", "suffix"), [("udp", ""), ("tcp", ";transport=tcp")])
@pytest.mark.parametrize("use_contact", [True, False])
def test_notice_goes_by_way_of_the_outbound_proxy(transport: str, suffix: str, use_contact: bool) -> None:
    async def scenario(office: PostOffice, proxy: Agent) -> None:
        alice = await office.phone()
        await office.bind(alice, "alice")
        await send(alice)
        target = alice.contact("alice") if use_contact else f"sip:alice@{DOMAIN}"
        assert (await noticed(proxy)).start == f"MESSAGE {target} SIP/2.0"
        assert alice.received == []

    run_with_proxy(scenario, transport, settings(use_contact=use_contact), suffix)


@pytest.mark.parametrize("missing", ["from_address", "offline_message"])
def test_no_notice_where_they_are_off(missing: str) -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        await send(alice)
        await asyncio.sleep(0.05)
        assert alice.received == []
        assert not any(name.startswith("notices.") for name in office.endpoint.counters.snapshot())

    run_office(scenario, notices=settings(**{missing: None}))


def test_notice_comes_once_in_a_while() -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        for _ in range(3):
            await send(alice)
        await send(alice, sender="carol")
        await send(alice, user="dora")
        await alice.until_received(3, 3)
        await asyncio.sleep(0.05)
        assert [got.text for got in alice.received] == [
            f"*** User {user} is offline!" for user in ("bob", "bob", "dora")
        ]
        assert office.counted("notices.suppressed") == 2

    run_office(scenario, notices=settings(interval=60))


def test_next_notice_comes_after_the_interval() -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        await send(alice)
        await asyncio.sleep(0.11)
        await send(alice)
        await alice.until_received(2, 3)

    run_office(scenario, notices=settings(interval=0.1))


@pytest.mark.parametrize("back", ["notice", "delivered", "reply"])
def test_no_circles(back: str) -> None:
    """A notice, or a message of ours, that comes back, and an answer to a notice, get no notice."""

    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        await send(alice)
        got = await noticed(alice)
        if back == "reply":
            await send(alice, user="registrar")
        else:
            call_id = got.header("call-id") if back == "notice" else f"7.0@{MARK}"
            answer = await alice.message(
                "carol", "Hi", f"Contact: <{alice.contact('x')}>", sender="dan", call_id=call_id
            )
            assert answer.status == 202
        await asyncio.sleep(0.05)
        assert len(alice.received) == 1

    run_office(scenario, notices=settings(interval=0))


@pytest.mark.parametrize("status", [404, 480, 500, 603])
def test_notice_that_fails_is_forgotten(status: int) -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        alice.on_message = lambda got: alice.reply(got, status)
        await send(alice)
        await office.until_counted("notices.failed")
        await asyncio.sleep(0.05)
        assert len(alice.received) == 1
        assert office.counted("notices.sent") == 0

    run_office(scenario, notices=settings())


@pytest.mark.parametrize("contact", ["sip:alice@nowhere.invalid", f"sip:alice@{LOOPBACK}:9;transport=tcp"])
def test_contact_that_cannot_be_reached_is_counted(contact: str) -> None:
    async def scenario(office: PostOffice) -> None:
        await send(await office.phone(), contact=contact)
        await office.until_counted("notices.failed")

    run_office(scenario, notices=settings())


def test_silence_is_waited_for_a_while_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    make_transactions_quick(monkeypatch)

    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        alice.on_message = lambda got: None
        await send(alice)
        await office.until_counted("notices.failed")

    run_office(scenario, notices=settings())


def test_notices_under_way_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "MAX_UNDER_WAY", 3)

    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        alice.on_message = lambda got: None
        for number in range(5):
            await send(alice, sender=f"user{number}", contact=alice.contact("alice"))
        await alice.until_received(3, 3)
        await asyncio.sleep(0.05)
        assert len(alice.received) == 3
        assert office.counted("notices.suppressed") == 2

    run_office(scenario, notices=settings())


def test_value_of_a_variable_injects_no_header() -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        office.held["$avp(note)"] = "a\r\nX-Evil: 1\r\n\r\nbody"
        await send(alice)
        got = await noticed(alice)
        assert got.all("x-evil") == []
        assert got.header("x-note") == "a  X-Evil: 1    body"

    run_office(scenario, notices=settings(contact_hdr=parse_format("X-Note: $avp(note)\r\n")))


def test_value_that_makes_no_uri_is_no_notice() -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        office.held["$avp(x)"] = "a b"
        await send(alice)
        await asyncio.sleep(0.05)
        assert alice.received == []

    run_office(scenario, notices=settings(from_address=parse_format("sip:$avp(x)@example.org")))


@pytest.mark.parametrize(
    ("contact_hdr", "contact"),
    [(None, f"<{FROM}>;msilo=yes"), (parse_format("m: <sip:null@example.com>\r\n"), "<sip:null@example.com>")],
)
def test_extra_headers_and_contact_are_added(contact_hdr: Format | None, contact: str) -> None:
    async def scenario(office: PostOffice) -> None:
        alice = await office.phone()
        await send(alice)
        got = await noticed(alice)
        assert got.all("x-to") == [f"sip:alice@{DOMAIN}"]
        assert got.all("contact") == [contact]

    carrier = CarrierSettings(add_contact=True, extra_hdrs=parse_format("X-To: $tu\r\n"))
    run_office(scenario, carrier, settings(contact_hdr=contact_hdr))
