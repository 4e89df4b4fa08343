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


def run_with_agents(server: Server, scenario: Scenario, transport: str, kept: int = 0) -> None:
    """Run a scenario of alice, who sends, and bob, who has registered.

    `kept`: how many messages for bob are stored after it.
    """

    async def run() -> str:
        async with two_agents(server.port, transport) as (alice, bob):
            await register(server, alice, bob, bob.user)
            await scenario(alice, bob)
            return bob.user

    user = asyncio.run(run())
    assert server.stored(user) == kept


async def register(server: Server, alice: Agent, phone: Agent, user: str) -> None:
    """Bind a phone of a user, and wait until what alice sends is relayed.

    What comes during the delivery that a REGISTER starts, if only of nothing, is queued behind it.
    """
    assert (await phone.register(user)).status == 200
    while (await alice.message(user, "ready?")).status == 202:
        await asyncio.to_thread(server.wait_empty, user)
    phone.received.clear()


def ignore(message: Sip) -> None:
    """Never answer."""


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_relayed_message_is_the_one_that_was_sent(shared_server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        answer = await alice.message(bob.user, "Hello, “Bob”", "Subject: greeting", "X-Own: 1")
        assert answer.status == 200
        assert not answer.final.body
        (message,) = bob.received
        assert message.text == "Hello, “Bob”"
        assert message.start == f"MESSAGE {bob.contact(bob.user)} SIP/2.0"
        assert message.header("call-id") == answer.final.header("call-id")
        assert (message.header("subject"), message.header("x-own")) == ("greeting", "1")
        assert message.header("max-forwards") == "69"

    run_with_agents(shared_server, scenario, transport)


@pytest.mark.parametrize("status", [480, 486, 408, 500, 503])
def test_message_that_a_contact_cannot_take_now_is_stored(shared_server: Server, status: int) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = lambda message: bob.reply(message, status)
        assert (await alice.message(bob.user, "hello")).status == 202
        assert shared_server.bodies(bob.user) == ["hello"]
        # Home again on another phone: a new binding retries at once.
        bob.on_message = lambda message: bob.reply(message, 200)
        await bob.register(bob.user, contact=bob.contact("new"))
        await bob.until(lambda: bob.received[-1].text.startswith("[Offline message - "), "delivery")
        await asyncio.to_thread(shared_server.wait_empty, bob.user)

    run_with_agents(shared_server, scenario, "udp")


@pytest.mark.parametrize("status", [401, 407, 600, 603, 604])
def test_answer_that_is_the_senders_business_goes_upstream(shared_server: Server, status: int) -> None:
    challenge = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}.get(status)
    extra = [f'{challenge}: Digest realm="there", nonce="1"'] if challenge else []

    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = lambda message: bob.reply(message, status, *extra)
        answer = await alice.message(bob.user, "hello")
        assert answer.status == status
        if challenge:
            assert answer.final.header(challenge.lower()) == 'Digest realm="there", nonce="1"'

    run_with_agents(shared_server, scenario, "udp")


def test_silent_contact_counts_as_absent_after_the_timeout(shared_server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = ignore
        answer = await alice.message(bob.user, "hello")
        assert answer.status == 202
        assert 0.9 < answer.after < 4
        assert shared_server.bodies(bob.user) == ["hello"]

    run_with_agents(shared_server, scenario, transport, kept=1)


def test_sender_is_told_to_wait_when_the_answer_takes_long(start_server: StartServer) -> None:
    """RFC 4320 §4.1: a 100, as soon as the sender's Timer E has reached T2, that is after 3.5 s."""
    server = start_server(proxy={"relay_timeout": 4.5})

    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = ignore
        answer = await alice.message(bob.user, "hello")
        assert answer.status == 202
        assert 4.4 < answer.after < 8
        # A retransmission that crosses it is answered with it again.
        assert {response.status for _, response in answer.provisional} == {100}
        assert 3.4 < answer.provisional[0][0] < 4.4

    run_with_agents(server, scenario, "udp", kept=1)


def test_late_success_takes_the_stored_message_away(shared_server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = ignore
        assert (await alice.message(bob.user, "hello")).status == 202
        assert shared_server.stored(bob.user) == 1
        bob.reply(bob.received[0], 200)
        await asyncio.to_thread(shared_server.wait_empty, bob.user)

    run_with_agents(shared_server, scenario, transport)


def test_forked_message_is_delivered_when_one_contact_takes_it(shared_server: Server) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        async with await Agent.open(shared_server.port) as desk:
            await register(shared_server, alice, desk, bob.user)
            desk.on_message = lambda message: desk.reply(message, 486)
            assert (await alice.message(bob.user, "hello")).status == 200
            assert bob.received[-1].text == desk.received[-1].text == "hello"

    run_with_agents(shared_server, scenario, "udp")


def test_typing_is_relayed_to_a_bound_user(shared_server: Server, transport: str) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        assert (await alice.message(bob.user, COMPOSING, TYPING)).status == 200
        assert [message.text for message in bob.received] == [COMPOSING]

    run_with_agents(shared_server, scenario, transport)


@pytest.mark.parametrize(("bound", "status"), [(True, 480), (False, 202)])
def test_typing_is_never_stored(shared_server: Server, bound: bool, status: int) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        bob.on_message = lambda message: bob.reply(message, 480)
        if not bound:
            await bob.register(bob.user, expires=0)
        assert (await alice.message(bob.user, COMPOSING, TYPING)).status == status

    run_with_agents(shared_server, scenario, "udp")


def test_retransmitted_message_is_stored_once(shared_server: Server) -> None:
    texts = [f"{number}" for number in range(20)]

    async def scenario() -> str:
        # A T1 of 100 µs: the request is sent some more times before its answer can come.
        async with await Agent.open(shared_server.port, t1=0.0001) as alice:
            for text in texts:
                assert (await alice.message(alice.user, text)).status == 202
            return alice.user

    user = asyncio.run(scenario())
    assert shared_server.bodies(user) == texts


def test_other_requests_and_domains(shared_server: Server) -> None:
    async def scenario() -> None:
        async with await Agent.open(shared_server.port) as alice:
            ask = partial(alice.request, sender="alice", user="bob")
            assert (await ask("OPTIONS", f"sip:{DOMAIN}")).status == 200
            assert (await ask("INVITE", f"sip:bob@{DOMAIN}")).status == 405
            assert (await ask("MESSAGE", "sip:bob@elsewhere.example")).status == 404

    asyncio.run(scenario())


def test_message_that_expires_at_once_is_not_stored(shared_server: Server) -> None:
    async def scenario() -> str:
        async with await Agent.open(shared_server.port) as alice:
            assert (await alice.message(alice.user, "now or never", "Expires: 0")).status == 480
            return alice.user

    user = asyncio.run(scenario())
    assert shared_server.stored(user) == 0
