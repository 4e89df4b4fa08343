"""What the carrier sends, and where: contacts, the outbound proxy, hosts of others (SPEC.md chapters 1 and 2)."""

from zoneinfo import ZoneInfo

import pytest

from sipsilo.formats import parse_format
from sipsilo.routing.carrier import CarrierSettings
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message
from sipsilo.sip.uri import Aor
from tests.acceptance.agent import DOMAIN, Agent
from tests.acceptance.programs import LOOPBACK, free_port
from tests.acceptance.wire import Sip
from tests.routing.post import MARK, PostOffice, run_office, run_with_proxy
from tests.routing.quick import make_transactions_quick
from tests.silo.samples import BOB, PLAIN, message

REMINDER = "sip:reminder@example.org"


def as_request(sip: Sip) -> Request:
    head = "\r\n".join([sip.start, *(f"{name}: {value}" for name, value in sip.headers), "", ""])
    request = parse_message(head.encode() + sip.body)
    assert isinstance(request, Request)
    return request


def test_message_goes_to_the_contact() -> None:
    async def scenario(office: PostOffice) -> None:
        bob = await office.phone()
        await office.bind(bob)
        assert await office.carry() == 200
        (got,) = bob.received
        assert got.start == f"MESSAGE {bob.contact('bob')} SIP/2.0"
        assert got.header("call-id") == f"7.0@{MARK}"
        assert got.all("contact") == []
        assert office.carrier.is_ours(as_request(got))

    run_office(scenario)


def test_nobody_is_there() -> None:
    async def scenario(office: PostOffice) -> None:
        assert await office.carry() is None
        await office.bind(await office.phone(), methods="INVITE")
        assert await office.carry() is None

    run_office(scenario)


@pytest.mark.parametrize("is_bound", [False, True])
@pytest.mark.parametrize(
    ("transport", "suffix"), [("udp", ""), ("udp", ";transport=udp;lr"), ("tcp", ";transport=tcp")]
)
def test_everything_goes_to_the_outbound_proxy(transport: str, suffix: str, is_bound: bool) -> None:
    async def scenario(office: PostOffice, proxy: Agent) -> None:
        bob = await office.phone()
        if is_bound:
            await office.bind(bob, path=("<sip:edge.example.org;lr>",))
        assert await office.carry(destination="sip:team@example.com", destination_name='"Team"') == 200
        (got,) = proxy.received
        assert got.start == f"MESSAGE sip:bob@{DOMAIN} SIP/2.0"
        assert got.header("to") == '"Team" <sip:team@example.com>'
        assert got.all("route") == []
        assert got.header("via").startswith(f"SIP/2.0/{transport.upper()} ")
        assert bob.received == []

    run_with_proxy(scenario, transport, suffix=suffix)


@pytest.mark.parametrize("status", [202, 302, 404, 415, 480, 503, 603])
def test_answer_of_the_proxy_is_the_answer(status: int) -> None:
    async def scenario(office: PostOffice, proxy: Agent) -> None:
        proxy.on_message = lambda got: proxy.reply(got, status)
        assert await office.carry() == status

    run_with_proxy(scenario)


@pytest.mark.parametrize(
    "uri",
    ["sip:127.0.0.1:{port};transport=tcp", "sip:proxy.invalid", "sip:[::1]:5060;transport=udp"],
)
def test_proxy_that_cannot_be_reached_is_a_failure(uri: str) -> None:
    """No one is "away" for it: the delivery is tried again."""

    async def scenario(office: PostOffice) -> None:
        await office.bind(await office.phone())
        assert await office.carry() == 503

    run_office(scenario, CarrierSettings(outbound_proxy=uri.format(port=free_port())))


def test_silent_proxy_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    make_transactions_quick(monkeypatch)

    async def scenario(office: PostOffice, proxy: Agent) -> None:
        proxy.on_message = lambda got: None
        assert await office.carry() == 408

    run_with_proxy(scenario)


def test_large_message_goes_to_the_proxy_over_udp_where_it_takes_no_connection() -> None:
    async def scenario(office: PostOffice, proxy: Agent) -> None:
        assert await office.carry(body=b"x" * 20_000) == 200
        assert await office.carry(body=b"x" * 60_000) == 513
        assert [len(got.body) for got in proxy.received] == [20_000]

    run_with_proxy(scenario, add_date=False)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", 200), ("nowhere.invalid", 503)])
def test_owner_of_another_host_is_sent_there(host: str, expected: int) -> None:
    """m_dump of a timer route, say; 127.0.0.1 has nobody's port 5060 here but ours below."""

    async def scenario(office: PostOffice) -> None:
        other = await office.phone()
        owner = Aor("carol", host)
        flow_to = office.endpoint.transport.flow_to
        assert not office.identity.owns(owner)

        async def to_the_phone(transport: str, remote: object) -> object:
            assert (transport, remote) == ("UDP", (host, 5060))
            return await flow_to(transport, type(remote)(host, other.port))  # type: ignore[call-arg,arg-type]

        office.endpoint.transport.flow_to = to_the_phone  # type: ignore[method-assign,assignment]
        assert await office.carry(owner=owner) == expected
        assert [got.start for got in other.received] == [f"MESSAGE sip:carol@{host} SIP/2.0"] * (expected == 200)

    run_office(scenario)


@pytest.mark.parametrize(
    ("owner", "proxy", "bound", "reached"),
    [
        (BOB, "", False, False),
        (BOB, "", True, True),
        (BOB, "sip:proxy.example.org", False, True),
        (Aor("carol", "example.com"), "", False, True),
    ],
)
def test_whom_we_reach(owner: Aor, proxy: str, bound: bool, reached: bool) -> None:
    async def scenario(office: PostOffice) -> None:
        if bound:
            await office.bind(await office.phone())
        assert office.carrier.reaches(owner) is reached
        assert office.carrier.is_bound(owner) is bound

    run_office(scenario, CarrierSettings(outbound_proxy=proxy))


def test_whoever_serves_all_hosts_sends_to_none() -> None:
    async def scenario(office: PostOffice) -> None:
        assert await office.carry(owner=Aor("carol", LOOPBACK)) is None

    run_office(scenario, domains=())


def test_reminder_comes_from_its_address() -> None:
    async def scenario(office: PostOffice) -> None:
        bob = await office.phone()
        await office.bind(bob)
        assert await office.carry(send_time=1_795_000_000) == 200
        assert await office.carry() == 200
        reminder, usual = bob.received
        assert reminder.header("from").startswith(f"<{REMINDER}>;tag=")
        assert reminder.text == "[Reminder message - Wed Nov 18 11:06:40 2026] Hi"
        assert usual.header("from").startswith('"Alice" <sip:alice@example.org>;tag=')
        assert usual.text == "[Offline message - Wed Nov 18 11:06:40 2026] Hi"

    run_office(scenario, CarrierSettings(reminder=REMINDER, zone=ZoneInfo("UTC")))


def test_extra_headers_are_added() -> None:
    async def scenario(office: PostOffice) -> None:
        bob = await office.phone()
        await office.bind(bob)
        assert await office.carry(headers=b"X-Own: 1\r\n", destination="sip:team@example.com") == 200
        (got,) = bob.received
        assert got.header("x-own") == "1"
        assert got.header("x-to") == "sip:team@example.com"
        assert got.header("x-missing") == "<null>"

    run_office(scenario, CarrierSettings(extra_hdrs=parse_format("X-To: $tu\r\nX-Missing: $var(x)\r\n")))


@pytest.mark.parametrize("is_reminder", [False, True])
def test_contact_is_added_where_it_is_asked_for(is_reminder: bool) -> None:
    async def scenario(office: PostOffice) -> None:
        bob = await office.phone()
        await office.bind(bob)
        assert await office.carry(send_time=int(is_reminder)) == 200
        (got,) = bob.received
        source = REMINDER if is_reminder else "sip:alice@example.org"
        assert got.all("contact") == [f"<{source}>;msilo=yes"]

    run_office(scenario, CarrierSettings(add_contact=True, reminder=REMINDER))


def test_call_id_is_the_senders_where_it_is_asked_for() -> None:
    """Parameter use_mode. No circles: the From tag tells that it is ours."""

    async def scenario(office: PostOffice) -> None:
        bob = await office.phone()
        await office.bind(bob)
        assert await office.carry(call_id="1@192.0.2.1") == 200
        assert await office.carry(call_id="1@192.0.2.1", attempts=1) == 200
        # a row of another program has none
        assert await office.carry(call_id="") == 200
        assert [got.header("call-id") for got in bob.received] == ["1@192.0.2.1", "1@192.0.2.1", f"7.0@{MARK}"]
        first, second, third = (as_request(got) for got in bob.received)
        # or it would be taken for a retransmission that went another way (RFC 3261 §8.2.2.2)
        assert first.from_.tag != second.from_.tag
        assert all(map(office.carrier.is_ours, (first, second, third)))
        assert not office.carrier.is_ours(message(PLAIN, call_id="1@192.0.2.1"))

    run_office(scenario, CarrierSettings(use_mode=True))


@pytest.mark.parametrize(
    ("call_id", "tag", "ours"),
    [
        (f"1@{MARK}", "a", True),
        (f"1@x{MARK}", "a", False),
        (MARK, "a", False),
        ("1@a", f"1.{MARK}", True),
        ("1@a", f"1{MARK}", False),
        ("1@a", "a", False),
    ],
)
def test_what_is_ours(call_id: str, tag: str, ours: bool) -> None:
    async def scenario(office: PostOffice) -> None:
        request = message(PLAIN, call_id=call_id, source=f"<sip:alice@example.org>;tag={tag}")
        assert office.carrier.is_ours(request) is ours
        assert not office.carrier.is_ours(message(PLAIN, source="<sip:alice@example.org>"))

    run_office(scenario)
