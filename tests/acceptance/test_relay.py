"""A MESSAGE for a bound user is relayed; when that fails it is stored, or the failure goes upstream."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from tests.acceptance.agent import DOMAIN, Agent, two_agents
from tests.acceptance.conftest import StartServer
from tests.acceptance.server import Server
from tests.acceptance.wire import Sip

TYPING = "Content-Type: application/im-iscomposing+xml"
COMPOSING = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<isComposing xmlns="urn:ietf:params:xml:ns:im-iscomposing"><state>active</state></isComposing>'
)


Scenario = Callable[[Agent, Agent], Awaitable[None]]


def run_with_agents(server: Server, scenario: Scenario, transport: str) -> None:
    """Run a scenario of alice, who sends, and bob, who has registered."""

    async def run() -> None:
        async with two_agents(server.port, transport) as (alice, bob):
            assert (await bob.register("bob")).status == 200
            await scenario(alice, bob)

    asyncio.run(run())


def ignore(message: Sip) -> None:
    """Never answer."""


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_relayed_message_is_the_one_that_was_sent(server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        answer = await alice.message("bob", "Hello, “Bob”", "Subject: greeting", "X-Own: 1", call_id="one")
        assert answer.status == 200
        (message,) = bob.received
        assert message.text == "Hello, “Bob”"
        assert message.start == f"MESSAGE {bob.contact('bob')} SIP/2.0"
        assert message.header("call-id") == "one"
        assert (message.header("subject"), message.header("x-own")) == ("greeting", "1")
        assert message.header("max-forwards") == "69"
        assert not answer.final.body

    run_with_agents(server, scenario, transport)
    assert server.stored() == 0


@pytest.mark.parametrize("status", [480, 486, 408, 500, 503])
def test_message_that_a_contact_cannot_take_now_is_stored(server: Server, status: int) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = lambda message: bob.reply(message, status)
        assert (await alice.message("bob", "hello")).status == 202
        assert server.bodies() == ["hello"]
        # Home again on another phone: a new binding retries at once.
        bob.on_message = lambda message: bob.reply(message, 200)
        await bob.register("bob", contact=bob.contact("bob-again"))
        await bob.until(lambda: bob.received[-1].text.startswith("[Offline message - "), "delivery")
        await asyncio.to_thread(server.wait_empty)

    run_with_agents(server, scenario, "udp")


@pytest.mark.parametrize("status", [401, 407, 600, 603, 604])
def test_answer_that_is_the_senders_business_goes_upstream(server: Server, status: int) -> None:
    challenge = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}.get(status)
    extra = [f'{challenge}: Digest realm="there", nonce="1"'] if challenge else []

    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = lambda message: bob.reply(message, status, *extra)
        answer = await alice.message("bob", "hello")
        assert answer.status == status
        if challenge:
            assert answer.final.header(challenge.lower()) == 'Digest realm="there", nonce="1"'

    run_with_agents(server, scenario, "udp")
    assert server.stored() == 0


def test_silent_contact_counts_as_absent_after_the_timeout(server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = ignore
        answer = await alice.message("bob", "hello")
        assert answer.status == 202
        assert 0.9 < answer.after < 2
        assert server.bodies() == ["hello"]

    run_with_agents(server, scenario, transport)


def test_sender_is_told_to_wait_before_it_gives_up_on_the_hop(start_server: StartServer) -> None:
    """RFC 4320 §4.1: a 100, and not before the sender's Timer E has reached T2, that is after 3.5 s."""
    server = start_server(proxy={"relay_timeout": 4})

    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = ignore
        answer = await alice.message("bob", "hello")
        assert answer.status == 202
        assert 3.9 < answer.after < 5
        ((after, trying),) = answer.provisional
        assert trying.status == 100
        assert 0.5 < after < 3.8

    run_with_agents(server, scenario, "udp")


def test_late_success_takes_the_stored_message_away(server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = ignore
        assert (await alice.message("bob", "hello")).status == 202
        assert server.stored() == 1
        bob.reply(bob.received[0], 200)
        await asyncio.to_thread(server.wait_empty)

    run_with_agents(server, scenario, transport)


def test_forked_message_is_delivered_when_one_contact_takes_it(server: Server) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        async with await Agent.open(server.port) as desk:
            desk.on_message = lambda message: desk.reply(message, 486)
            await desk.register("bob")
            assert (await alice.message("bob", "hello")).status == 200
            assert [message.text for message in bob.received] == ["hello"]

    run_with_agents(server, scenario, "udp")
    assert server.stored() == 0


def test_typing_is_relayed_to_a_bound_user(server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        assert (await alice.message("bob", COMPOSING, TYPING)).status == 200
        assert [message.text for message in bob.received] == [COMPOSING]

    run_with_agents(server, scenario, transport)


@pytest.mark.parametrize("bound", [True, False])
def test_typing_is_never_stored(server: Server, bound: bool) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = lambda message: bob.reply(message, 480)
        if not bound:
            await bob.register("bob", expires=0)
        assert (await alice.message("bob", COMPOSING, TYPING)).status == 202

    run_with_agents(server, scenario, "udp")
    assert server.stored() == 0


def test_retransmitted_message_is_stored_once(server: Server) -> None:
    async def scenario() -> None:
        # A T1 of 100 µs: the request is sent some more times before its answer can come.
        async with await Agent.open(server.port, t1=0.0001) as alice:
            for number in range(20):
                assert (await alice.message("bob", f"{number}")).status == 202
            assert (await alice.message("bob", "last")).status == 202

    asyncio.run(scenario())
    assert server.bodies() == [*map(str, range(20)), "last"]


def test_other_requests_and_domains(server: Server) -> None:
    async def scenario() -> None:
        async with await Agent.open(server.port) as alice:
            ask = partial(alice.request, sender="alice", user="bob")
            assert (await ask("OPTIONS", f"sip:{DOMAIN}")).status == 200
            assert (await ask("INVITE", f"sip:bob@{DOMAIN}")).status == 405
            assert (await ask("MESSAGE", "sip:bob@elsewhere.example")).status == 404

    asyncio.run(scenario())
    assert server.stored() == 0


def test_message_that_expires_at_once_is_not_stored(server: Server) -> None:
    async def scenario() -> None:
        async with await Agent.open(server.port) as alice:
            assert (await alice.message("bob", "now or never", "Expires: 0")).status == 480

    asyncio.run(scenario())
    assert server.stored() == 0
