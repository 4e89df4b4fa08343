"""The guide's sample script (examples/msilo_sample.py) on every one of its paths, with real clients."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import DOMAIN, Agent
from tests.acceptance.programs import LOOPBACK
from tests.acceptance.server import Server, Settings
from tests.acceptance.sipp import run_sipp

SAMPLE = Path(__file__).parents[2] / "examples" / "msilo_sample.py"
TYPING = "Content-Type: application/im-iscomposing+xml"

STORING = "MESSAGE received -> storing using MSILO"
STORED = "MSILO: offline message stored"
NOT_STORED = "MSILO: offline message NOT stored"
DUMPED = "MSILO: offline messages dumped - if they were"
NOT_DUMPED = "MSILO: no offline messages dumped"
UNSUPPORTED = "MSILO: the downstream UA doesn't support MESSAGEs"


def scripted(folder: Path, script: Path, settings: Settings | None = None) -> Server:
    """A running server with a script."""
    server = Server(folder, settings or {})
    server.arguments = ["--script", str(script)]
    server.start()
    return server


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = scripted(tmp_path_factory.mktemp("sample"), SAMPLE)
    yield server
    server.close()
    print(server.log)  # noqa: T201


def run_with(server: Server, scenario: Callable[[Agent, Agent], Awaitable[None]], transport: str = "udp") -> list[str]:
    """Run a scenario of two phones; the script's lines in the server's log meanwhile."""
    before = len(server.log)

    async def work() -> None:
        async with await Agent.open(server.port, transport) as alice, await Agent.open(server.port, transport) as bob:
            await scenario(alice, bob)

    asyncio.run(work())
    return [
        line for line in (STORING, STORED, NOT_STORED, UNSUPPORTED, DUMPED, NOT_DUMPED) if line in server.log[before:]
    ]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("path", ["too_many_hops", "other_method"])
def test_refused(sample: Server, tmp_path: Path, path: str, transport: str) -> None:
    """483 without hops left; 404 to what is no MESSAGE for an absent user (tests/acceptance/scenarios)."""
    run_sipp(tmp_path, sample.port, path, [f"{path}{number}" for number in range(20)], transport)
    assert sample.stored(f"{path}0") == 0


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_message_waits_for_its_recipient(sample: Server, tmp_path: Path, transport: str) -> None:
    """Stored, 202; REGISTER, 200; delivered."""
    users = [f"{transport}{number:03d}" for number in range(100)]
    delivered = run_sipp(tmp_path, sample.port, "loop", users, transport)
    assert sorted(delivered) == [f"to={user}; sip:{user}" for user in users]
    for user in (users[0], users[-1]):
        sample.wait_empty(user)


def test_register_with_and_without_stored_messages(sample: Server) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        assert (await bob.register(bob.user)).status == 200
        assert (await bob.register(bob.user, expires=0)).status == 200
        assert bob.received == []
        assert (await alice.message(bob.user, "Hi")).status == 202
        assert (await bob.register(bob.user)).status == 200
        await bob.until_received(1)
        assert bob.received[0].text.endswith("] Hi")
        await asyncio.to_thread(sample.wait_empty, bob.user)

    assert run_with(sample, scenario) == [STORING, STORED, DUMPED, NOT_DUMPED]


def test_register_that_is_refused(sample: Server) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        assert (await bob.register(bob.user, expires=1)).status == 423

    assert run_with(sample, scenario) == [NOT_DUMPED]


def test_phone_that_takes_messages(sample: Server) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        await settle(sample, bob)
        assert (await alice.message(bob.user, "Hi")).status == 200
        assert [message.text for message in bob.received] == ["Hi"]
        assert sample.stored(bob.user) == 0

    assert STORED not in run_with(sample, scenario)


async def settle(server: Server, phone: Agent) -> None:
    """Register, and wait until messages are relayed: what comes during the delivery that it starts is stored."""
    assert (await phone.register(phone.user)).status == 200
    await asyncio.sleep(0.3)


def test_phone_that_refuses_messages(sample: Server) -> None:
    """405 → the failure route → stored → 202."""

    async def scenario(alice: Agent, bob: Agent) -> None:
        await settle(sample, bob)
        bob.on_message = lambda message: bob.reply(message, 405)
        assert (await alice.message(bob.user, "Hi")).status == 202
        assert sample.bodies(bob.user) == ["Hi"]
        assert len(bob.received) == 1

    assert run_with(sample, scenario) == [STORED, UNSUPPORTED, DUMPED]


def test_phone_that_is_silent(sample: Server) -> None:
    async def scenario(alice: Agent, bob: Agent) -> None:
        await settle(sample, bob)
        bob.on_message = lambda message: None
        assert (await alice.message(bob.user, "Hi")).status == 202
        # what comes late has arrived after all
        bob.reply(bob.received[0], 200)
        await asyncio.to_thread(sample.wait_empty, bob.user)

    assert run_with(sample, scenario) == [STORED, UNSUPPORTED, DUMPED]


def test_other_request_that_fails_downstream(sample: Server) -> None:
    """The failure route leaves it alone, so the failure goes upstream."""

    async def scenario(alice: Agent, bob: Agent) -> None:
        await settle(sample, bob)
        bob.on_message = lambda message: bob.reply(message, 486)
        answer = await alice.request("INFO", f"sip:{bob.user}@{DOMAIN}", "alice", bob.user)
        assert answer.status == 486

    assert run_with(sample, scenario) == [DUMPED]


@pytest.mark.parametrize(
    ("headers", "status"),
    [(["Expires: 0"], 480), (["Content-Type: nonsense"], 400), ([TYPING], 202)],
)
def test_message_that_is_not_kept(sample: Server, headers: list[str], status: int) -> None:
    """What the sender is told; typing (RFC 3994) is dropped without a word."""

    async def scenario(alice: Agent, bob: Agent) -> None:
        lines = headers if headers[0].startswith("Content") else ["Content-Type: text/plain", *headers]
        answer = await alice.request("MESSAGE", f"sip:{bob.user}@{DOMAIN}", "alice", bob.user, lines, b"Hi")
        assert answer.status == status
        assert sample.stored(bob.user) == 0

    assert run_with(sample, scenario) == [STORING, STORED if status == 202 else NOT_STORED]


def test_foreign_domain(sample: Server) -> None:
    """Forwarded to where the Request-URI points."""

    async def scenario(alice: Agent, carol: Agent) -> None:
        uri = f"sip:carol@{LOOPBACK}:{carol.port}"
        answer = await alice.request("MESSAGE", uri, "alice", "carol", ["Content-Type: text/plain"], b"Hi")
        assert answer.status == 200
        (message,) = carol.received
        assert (message.start, message.header("max-forwards")) == (f"MESSAGE {uri} SIP/2.0", "69")
        carol.on_message = lambda message: carol.reply(message, 603)
        answer = await alice.request("MESSAGE", uri, "alice", "carol", ["Content-Type: text/plain"], b"Hi")
        assert answer.status == 603
        assert sample.stored("carol") == 0

    assert run_with(sample, scenario) == []


FAILING = """
from sipsilo.routing import Request, Script

script = Script()


@script.request_route
async def main(request: Request) -> None:
    if request.method == "MESSAGE":
        raise LookupError("no such thing")
    await request.reply(299, stateless=True)
"""


def test_script_that_fails_answers_500_and_serves_on(tmp_path: Path) -> None:
    script = tmp_path / "routes.py"
    script.write_text(FAILING)
    server = scripted(tmp_path, script)

    async def scenario(alice: Agent, bob: Agent) -> None:
        assert (await alice.message(bob.user, "Hi")).status == 500
        assert (await alice.request("OPTIONS", f"sip:{DOMAIN}", "alice", "bob")).status == 299

    try:
        run_with(server, scenario)
        server.stop()
        assert "routes.py:10: LookupError: no such thing" in server.log
        assert "Traceback" not in server.log
    finally:
        server.close()


def test_parameters_are_settings(tmp_path: Path) -> None:
    """Those of the guide hold whatever the script says."""
    server = scripted(tmp_path, SAMPLE, {"msilo": {"add_date": 0}})

    async def scenario(alice: Agent, bob: Agent) -> None:
        await alice.message(bob.user, "Hi")
        await bob.register(bob.user)
        await bob.until_received(1)
        assert bob.received[0].text == "Hi"

    try:
        run_with(server, scenario)
    finally:
        server.close()
