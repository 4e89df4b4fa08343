"""What a script can do with a request, in a server in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sipsilo.config import Msilo, Proxy, Settings
from sipsilo.config import Server as ServerSettings
from sipsilo.formats import Variable
from sipsilo.routing import Branch, Reply, Request, Script
from sipsilo.sip.message import Response
from sipsilo.testing import TestServer
from tests.loop import run

ALICE, BOB, CAROL = "sip:alice@example.org", "sip:bob@example.org", "sip:carol@example.org"
TYPING = ("Content-Type", "application/im-iscomposing+xml")

Work = Callable[[Request], Awaitable[object]]
Scenario = Callable[[TestServer], Awaitable[None]]


def scripted(work: Work) -> Script:
    """A script that registers, and does this with everything else."""
    script = Script()

    @script.request_route
    async def main(request: Request) -> None:
        if request.method == "REGISTER":
            await request.save()
            await request.m_dump()
        else:
            await work(request)

    return script


def serve(script: Script, scenario: Scenario, settings: Settings | None = None) -> None:
    """Run a scenario with a server in memory."""

    async def work() -> None:
        async with TestServer(script, settings) as server:
            await scenario(server)

    run(work())


def ask(work: Work, *headers: tuple[str, str], method: str = "MESSAGE", uri: str = BOB, to: str = BOB) -> Response:
    """The answer to one request when a script does this with it."""
    answers: list[Response] = []

    async def scenario(server: TestServer) -> None:
        lines = [("Content-Type", "text/plain"), *headers] if method == "MESSAGE" else headers
        answers.append(await server.phone(ALICE).request(method, uri, to, lines, b"Hi" if method == "MESSAGE" else b""))

    serve(scripted(work), scenario)
    return answers[0]


# -- one final response


@pytest.mark.parametrize(
    ("method", "status"),
    [("MESSAGE", 404), ("OPTIONS", 404), ("PUBLISH", 405), ("SUBSCRIBE", 405), ("INVITE", 405), ("CANCEL", 481)],
)
def test_request_that_a_script_leaves_alone(method: str, status: int) -> None:
    async def nothing(request: Request) -> None:
        """Leave it."""

    answer = ask(nothing, method=method)
    assert (answer.status, answer.get("allow")) == (status, "REGISTER, MESSAGE, OPTIONS" if status == 405 else None)


@pytest.mark.parametrize(
    ("header", "status"),
    [(("Proxy-Require", "telepathy"), 420), (("Route", "nonsense"), 400), (("X-A", "1"), 299)],
)
def test_what_no_script_sees(header: tuple[str, str], status: int) -> None:
    async def answer(request: Request) -> None:
        await request.reply(299)

    assert ask(answer, header).status == status
    assert ask(answer, uri="sips:bob@example.org").status == 416


def test_reply_in_full() -> None:
    async def answer(request: Request) -> None:
        await request.reply(299, "Well", [("X-A", "1")], "Body")
        assert request.answered and not request.t_newtran()

    response = ask(answer)
    assert (response.status, response.reason, response.get("x-a"), response.body) == (299, "Well", "1", b"Body")
    assert response.to.tag


@pytest.mark.parametrize(
    "bad", [{"reason": "a\r\nX-Evil: 1"}, {"headers": [("X-A", "1\n2")]}, {"headers": [("A\r", "1")]}]
)
def test_answer_of_more_lines_than_it_seems(bad: dict[str, Any]) -> None:
    async def answer(request: Request) -> None:
        with pytest.raises(ValueError, match="would end its line"):
            await request.reply(200, **bad)
        await request.reply(299)

    assert ask(answer).status == 299


@pytest.mark.parametrize("stateless", [False, True])
def test_second_answer_is_the_scripts_mistake(stateless: bool, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(request: Request) -> None:
        await request.reply(299, stateless=stateless)
        await request.reply(200, stateless=stateless)

    assert ask(answer).status == 299
    assert "test_request.py:" in capsys.readouterr().out


def test_exception_answers_500_and_tells_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def fail(request: Request) -> None:
        helper(request)

    assert ask(fail).status == 500
    line = helper.__code__.co_firstlineno + 1
    out = capsys.readouterr().out
    assert f"tests/routing/test_request.py:{line}: ZeroDivisionError: division by zero" in out
    assert "Traceback" not in out


def helper(request: Request) -> float:
    return 1 / len(request.headers("X-Not-There"))


# -- the request


def test_marks() -> None:
    async def work(request: Request) -> None:
        assert not request.is_flag_set("x")
        request.reset_flag("x")
        request.set_flag("x")
        request.set_flag(7)
        assert request.is_flag_set("x") and request.is_flag_set(7)
        request.reset_flag("x")
        assert not request.is_flag_set("x") and request.is_flag_set(7)
        await request.reply(299)

    assert ask(work).status == 299


@pytest.mark.parametrize(
    ("uri", "host", "myself"),
    [
        (BOB, None, True),
        ("sip:bob@example.com", None, False),
        (BOB, "example.com", False),
        (BOB, "EXAMPLE.org", True),
        ("tel:+1234", None, False),
    ],
)
def test_is_myself(uri: str, host: str | None, myself: bool) -> None:
    async def work(request: Request) -> None:
        assert request.is_myself(host) is myself
        await request.reply(299)

    assert ask(work, uri=uri).status == 299


@pytest.mark.parametrize(("hops", "left"), [(0, False), (1, True), (70, True)])
def test_hops(hops: int, left: bool) -> None:
    async def work(request: Request) -> None:
        assert request.process_max_forwards(10) is left
        await request.relay()

    async def scenario(server: TestServer) -> None:
        peer = server.phone("sip:x@192.0.2.5", "192.0.2.5:5060")
        headers = [("Content-Type", "text/plain")]
        answer = await server.phone(ALICE).request("MESSAGE", "sip:x@192.0.2.5", BOB, headers, b"Hi", hops=hops)
        assert answer.status == (200 if left else 483)
        assert [request.get("max-forwards") for request in peer.requests] == [f"{hops - 1}"] * left

    serve(scripted(work), scenario)


def test_unknown_routes_are_told() -> None:
    async def work(request: Request) -> None:
        for arm in (request.t_on_failure, request.t_on_reply, request.t_on_branch):
            with pytest.raises(ValueError, match="'none-such'"):
                arm("none-such")
        await request.reply(299)

    assert ask(work).status == 299


def test_options() -> None:
    async def work(request: Request) -> None:
        await request.options_reply()

    answer = ask(work, method="OPTIONS")
    assert (answer.status, answer.get("allow")) == (200, "REGISTER, MESSAGE, OPTIONS")
    answer = ask(work, ("Require", "telepathy"), method="OPTIONS")
    assert (answer.status, answer.get("unsupported")) == (420, "telepathy")


def test_save_is_for_registers() -> None:
    async def work(request: Request) -> None:
        with pytest.raises(ValueError, match="save is for REGISTER"):
            await request.save()
        await request.reply(299)

    assert ask(work).status == 299


# -- relaying


async def relay(request: Request) -> None:
    await request.lookup()
    await request.relay()


def test_changes_go_on() -> None:
    async def work(request: Request) -> None:
        assert await request.lookup()
        request.append_hf("X-Mine", "1")
        assert request.remove_hf("Subject")
        assert await request.relay()

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        assert (await server.send(ALICE, BOB, "Hi", ("Subject", "s"))).status == 200
        (message,) = bob.requests
        assert (message.get("x-mine"), message.get("subject"), message.uri_text) == ("1", None, bob.contact)

    serve(scripted(work), scenario)


@pytest.mark.parametrize("by", ["$ru", "$du", "Route"])
def test_where_a_request_goes(by: str) -> None:
    async def work(request: Request) -> None:
        if by == "Route":
            request.append_hf("Route", "<sip:192.0.2.5;lr>")
        else:
            request[by] = "sip:x@192.0.2.5"
        assert await request.relay()

    async def scenario(server: TestServer) -> None:
        peer = server.phone("sip:x@192.0.2.5", "192.0.2.5:5060")
        assert (await server.send(ALICE, CAROL, "Hi")).status == 200
        (message,) = peer.requests
        assert message.uri_text == ("sip:x@192.0.2.5" if by == "$ru" else CAROL)

    serve(scripted(work), scenario)


@pytest.mark.parametrize(
    ("answer", "status"), [(200, 200), (404, 404), (401, 401), (603, 603), (408, 480), (503, 480), (None, 480)]
)
def test_answers_without_a_failure_route(answer: int | None, status: int) -> None:
    """RFC 4320 §4.2: no 408; RFC 3261 §16.7 step 6: no 503."""

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        bob.answer = answer
        assert (await server.send(ALICE, BOB, "Hi")).status == status

    serve(scripted(relay), scenario)


def test_relay_that_cannot_be() -> None:
    assert ask(relay, method="INVITE").status == 405
    assert ask(relay, uri="sip:nobody@192.0.2.77").status == 480
    assert ask(relay, uri="sip:carol@192.0.2.1:5060").status == 482  # that is us


def test_request_other_than_message() -> None:
    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB, ("Allow", "MESSAGE, INFO"))
        assert (await server.phone(ALICE).request("INFO", BOB, BOB)).status == 200
        assert [request.method for request in bob.requests] == ["INFO"]
        carol = await server.register(CAROL, ("Allow", "MESSAGE"))
        # she takes no INFO, so it goes where the Request-URI points: nowhere
        assert (await server.phone(ALICE).request("INFO", CAROL, CAROL)).status == 480
        assert carol.requests == []

    serve(scripted(relay), scenario)


def failing(work: Work) -> Script:
    """A script with a failure route."""
    script = scripted(relay_or_fail)
    script.failure_route("failed")(named(work))
    return script


async def relay_or_fail(request: Request) -> None:
    await request.lookup()
    request.t_on_failure("failed")
    await request.relay()


def named(work: Work) -> Callable[[Request], Awaitable[None]]:
    async def route(request: Request) -> None:
        await work(request)

    return route


@pytest.mark.parametrize(("answer", "told"), [(486, (486, "Busy Here")), (None, (408, "Request Timeout"))])
def test_failure_route(answer: int | None, told: tuple[int, str]) -> None:
    async def work(request: Request) -> None:
        assert (request.reply_status, request.reply_reason) == told
        assert (request["$T_reply_code"], request["$rs"]) == (told[0], told[0])
        with pytest.raises(RuntimeError, match="m_dump"):
            await request.m_dump()
        await request.reply(299)

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        bob.answer = answer
        assert (await server.send(ALICE, BOB, "Hi")).status == 299

    serve(failing(work), scenario)


def test_failure_route_that_does_nothing_lets_the_failure_through() -> None:
    async def nothing(request: Request) -> None:
        """Leave it."""

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        bob.answer = 486
        assert (await server.send(ALICE, BOB, "Hi")).status == 486

    serve(failing(nothing), scenario)


def test_failure_route_that_fails() -> None:
    async def work(request: Request) -> None:
        helper(request)

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        bob.answer = 486
        assert (await server.send(ALICE, BOB, "Hi")).status == 500

    serve(failing(work), scenario)


def test_failure_route_that_tries_elsewhere() -> None:
    """Each relay wants its failure route said anew."""
    seen: list[int] = []

    async def work(request: Request) -> None:
        seen.append(request.reply_status)
        request.set_uri("sip:x@192.0.2.5")
        await request.relay()

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        peer = server.phone("sip:x@192.0.2.5", "192.0.2.5:5060")
        bob.answer, peer.answer = 486, 404
        assert (await server.send(ALICE, BOB, "Hi")).status == 404
        assert (len(peer.requests), seen) == (1, [486])
        peer.answer = 200
        assert (await server.send(ALICE, BOB, "Hi")).status == 200

    serve(failing(work), scenario)


# -- branches and replies


def test_branches_are_changed_alone() -> None:
    script = scripted(relay_by_branch)

    @script.branch_route("each")
    async def each(branch: Branch) -> None:
        branch.append_hf("X-To", str(branch["$ru"]))
        branch["$avp(seen)"] = str(branch["$avp(seen)"]) + "."
        if branch.uri.startswith("sip:bob@127.0.0.1:20000"):
            branch.drop()

    async def scenario(server: TestServer) -> None:
        desk = await server.register(BOB)
        mobile = await server.register(BOB)
        assert (await server.send(ALICE, BOB, "Hi", ("Subject", "s"))).status == 200
        assert desk.requests == []
        (message,) = mobile.requests
        assert (message.get_all("x-to"), message.get("subject")) == ([mobile.contact], "s")

    serve(script, scenario)


async def relay_by_branch(request: Request) -> None:
    await request.lookup()
    request.t_on_branch("each")
    await request.relay()


@pytest.mark.parametrize("by", ["$ru", "$du"])
def test_branch_that_goes_elsewhere(by: str) -> None:
    script = scripted(relay_by_branch)

    @script.branch_route("each")
    async def each(branch: Branch) -> None:
        branch[by] = "sip:x@192.0.2.5"

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        peer = server.phone("sip:x@192.0.2.5", "192.0.2.5:5060")
        assert (await server.send(ALICE, BOB, "Hi")).status == 200
        assert bob.requests == []
        assert [request.uri_text for request in peer.requests] == [
            "sip:x@192.0.2.5" if by == "$ru" else bob.contact,
        ]

    serve(script, scenario)


def test_all_branches_dropped() -> None:
    script = scripted(relay_by_branch)

    @script.branch_route("each")
    async def each(branch: Branch) -> None:
        if branch.header("Subject"):
            raise ValueError("as good as dropped")
        branch.drop()

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        assert (await server.send(ALICE, BOB, "Hi")).status == 480
        assert (await server.send(ALICE, BOB, "Hi", ("Subject", "s"))).status == 480
        assert bob.requests == []

    serve(script, scenario)


def test_replies() -> None:
    seen: list[str] = []
    script = scripted(relay_with_reply_route)

    @script.onreply_route
    async def every(reply: Reply) -> None:
        seen.append(f"every {reply.reply_status}")

    @script.onreply_route("named")
    async def marked(reply: Reply) -> None:
        seen.append(f"named {reply['$rs']} {reply['$rr']} to {reply.method} of {reply['$avp(who)']}")
        reply.append_hf("X-Seen", "1")
        assert reply.remove_hf("X-Not-There") is False

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        answer = await server.send(ALICE, BOB, "Hi")
        assert (answer.status, answer.get("x-seen")) == (200, "1")
        bob.answer = 486
        assert (await server.send(ALICE, BOB, "Hi")).get("x-seen") == "1"
        bob.answer = None
        # what the server makes up for silence is nobody's reply
        assert (await server.send(ALICE, BOB, "Hi")).get("x-seen") is None
        assert seen == [
            "every 200",
            "named 200 OK to MESSAGE of alice",
            "every 486",
            "named 486 Busy Here to MESSAGE of alice",
        ]

    serve(script, scenario)


async def relay_with_reply_route(request: Request) -> None:
    await request.lookup()
    request["$avp(who)"] = request["$fU"]
    request.t_on_reply("named")
    await request.relay()


# -- m_store


async def store(request: Request) -> None:
    stored = await request.m_store()
    assert bool(stored) is (stored.status == 202)
    await request.reply(stored.status, stored.reason, stored.headers)


OWNERS: list[tuple[str, str, str | None, str | None]] = [
    (BOB, CAROL, None, "bob"),
    ("sip:bob@example.org:5070;x=y", CAROL, None, "bob"),
    ("sip:example.org", CAROL, None, "carol"),
    ("sip:bob@192.0.2.5", CAROL, None, "carol"),
    ("tel:+1234", CAROL, None, "carol"),
    ("tel:+1234", "tel:+1234", None, None),
    (BOB, BOB, CAROL, "carol"),
    (BOB, BOB, "sip:dave@example.com", "dave"),
    (BOB, BOB, "sip:example.org", None),
    (BOB, BOB, "nonsense", None),
    (BOB, BOB, "", None),
]


@pytest.mark.parametrize(("uri", "to", "owner", "stored_for"), OWNERS)
def test_owner(uri: str, to: str, owner: str | None, stored_for: str | None) -> None:
    """SPEC.md chapter 2."""

    async def work(request: Request) -> None:
        stored = await request.m_store(owner)
        await request.reply(stored.status, stored.reason)

    async def scenario(server: TestServer) -> None:
        headers = [("Content-Type", "text/plain")]
        answer = await server.phone(ALICE).request("MESSAGE", uri, to, headers, b"Hi")
        assert answer.status == (404 if stored_for is None else 202)
        owners = [f"sip:{stored_for}@example.{end}" for end in ("org", "com")]
        assert len(server.stored()) == sum(len(server.stored(each)) for each in owners) == (stored_for is not None)

    serve(scripted(work), scenario)


def test_owner_after_lookup_is_who_was_looked_up() -> None:
    async def work(request: Request) -> None:
        assert await request.lookup()
        assert request.uri != request.original_uri == BOB
        await store(request)

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        bob.answer = None
        headers = [("Content-Type", "text/plain")]
        assert (await server.phone(ALICE).request("MESSAGE", BOB, CAROL, headers, b"Hi")).status == 202
        assert server.stored(BOB) == ["Hi"]

    settings = Settings(server=ServerSettings(), proxy=Proxy(relay_timeout=0.2), msilo=Msilo(add_date=False))
    serve(scripted(work), scenario, settings)  # any host is served


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 400),
        ([("Content-Type", "nonsense")], 400),
        ([("Content-Type", "text/plain"), ("Expires", "0")], 480),
        ([("Content-Type", "text/plain"), ("Require", "telepathy")], 420),
        ([("Content-Type", f"text/{'x' * 255}")], 513),
        ([TYPING], 202),
    ],
)
def test_message_that_is_not_stored(headers: list[tuple[str, str]], status: int) -> None:
    async def scenario(server: TestServer) -> None:
        answer = await server.phone(ALICE).request("MESSAGE", BOB, BOB, headers, b"Hi")
        assert answer.status == status
        assert answer.get("unsupported") == ("telepathy" if status == 420 else None)
        assert server.stored() == []

    serve(scripted(store), scenario)


def test_database_that_is_down() -> None:
    async def scenario(server: TestServer) -> None:
        await server._engine.close()
        answer = await server.send(ALICE, BOB, "Hi")
        assert (answer.status, answer.get("retry-after")) == (503, "5")

    serve(scripted(store), scenario)


def test_only_messages_are_stored() -> None:
    assert ask(store, method="INFO").status == 405


def test_stored_as_from_and_to_others() -> None:
    async def work(request: Request) -> None:
        stored = await request.m_store_addrs(BOB, "sip:service@example.org", CAROL)
        await request.reply(stored.status)

    async def scenario(server: TestServer) -> None:
        assert (await server.send(ALICE, BOB, "Hi")).status == 202
        bob = await server.register(BOB)
        (message,) = bob.requests
        assert (message.from_.uri_text, message.to.uri_text) == ("sip:service@example.org", CAROL)

    serve(scripted(work), scenario)


@pytest.mark.parametrize(
    ("owner", "src", "dst", "status"),
    [("nonsense", ALICE, BOB, 404), (BOB, "nonsense", BOB, 400), (BOB, ALICE, "", 400)],
)
def test_addresses_that_are_none(owner: str, src: str, dst: str, status: int) -> None:
    async def work(request: Request) -> None:
        stored = await request.m_store_addrs(owner, src, dst)
        assert not stored
        await request.reply(stored.status, stored.reason)

    assert ask(work).status == status


def test_reminder_is_not_deleted_by_a_relay_that_succeeds_late() -> None:
    """What was relayed and what is to come at its time are two things."""

    async def work(request: Request) -> None:
        request.avp["when"] = "20990101120000"
        assert await request.m_store()
        await request.reply(202)

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        bob.answer = None
        assert (await server.send(ALICE, BOB, "Hi")).status == 202
        bob.reply(bob.requests[0], 200)
        await server.settled()
        assert server.stored(BOB) == ["Hi"]

    msilo = Msilo(reminder="sip:clock@example.org", send_time=60, snd_time_avp=Variable("$avp", "when"))
    proxy = Proxy(relay_timeout=0.2)
    serve(failing(work), scenario, Settings(server=ServerSettings(domains=("example.org",)), proxy=proxy, msilo=msilo))


def test_relay_that_succeeds_late_takes_the_stored_message_away() -> None:
    async def work(request: Request) -> None:
        assert await request.m_store()
        await request.reply(202)

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        bob.answer = None
        assert (await server.send(ALICE, BOB, "Hi")).status == 202
        assert server.stored(BOB) == ["Hi"]
        bob.reply(bob.requests[0], 200)
        async with asyncio.timeout(5):
            while server.stored(BOB):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    serve(failing(work), scenario)


def test_relay_that_failed_is_the_first_attempt() -> None:
    """Only for those to whom it was relayed; the back-off is theirs."""

    async def work(request: Request) -> None:
        assert await request.m_store()
        assert await request.m_store(CAROL)
        await request.reply(202)

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        carol = await server.register(CAROL)
        bob.answer = 480
        assert (await server.send(ALICE, BOB, "Hi")).status == 202
        await server.settled()
        assert (carol.messages, server.stored(BOB), server.stored(CAROL)) == (["Hi"], ["Hi"], [])
        bob.answer = 200
        await bob.register()
        assert server.stored(BOB) == ["Hi"]  # a refresh does not end a back-off
        bob.disconnect()
        await bob.register()
        assert bob.messages == ["Hi"]

    serve(failing(work), scenario)


# -- m_dump


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("maxmsg", [None, 1, 2, 5])
def test_dump(before: bool, maxmsg: int | None) -> None:
    script = Script()

    @script.request_route
    async def main(request: Request) -> None:
        if request.method == "MESSAGE":
            await store(request)
        elif before:
            assert await request.m_dump(maxmsg=maxmsg)
            assert await request.save()
        else:
            assert await request.save()
            assert await request.m_dump(maxmsg=maxmsg)

    async def scenario(server: TestServer) -> None:
        texts = ["1", "2", "3"]
        for text in texts:
            await server.send(ALICE, BOB, text)
        bob = await server.register(BOB)
        assert bob.messages == texts[:maxmsg]
        assert server.stored(BOB) == texts[len(bob.messages) :]

    serve(script, scenario)


DUMPS: dict[str, tuple[list[tuple[str, str]], str | None, bool]] = {
    "binds": ([("Contact", "<sip:bob@192.0.2.9>")], None, True),
    "asks only": ([], None, False),
    "Expires: 0": ([("Contact", "<sip:bob@192.0.2.9>"), ("Expires", "0")], None, False),
    "expires=0": ([("Contact", "<sip:bob@192.0.2.9>;expires=0")], None, False),
    "one of two": ([("Contact", "<sip:bob@192.0.2.9>;expires=0, <sip:bob@192.0.2.10>")], None, True),
    "star": ([("Contact", "*"), ("Expires", "0")], None, False),
    "refused": ([("Contact", "*")], None, False),
    "too brief": ([("Contact", "<sip:bob@192.0.2.9>;expires=1")], None, False),
    "no MESSAGE by methods": ([("Contact", '<sip:bob@192.0.2.9>;methods="INVITE, BYE"')], None, False),
    "MESSAGE by methods": ([("Contact", '<sip:bob@192.0.2.9>;methods="INVITE, MESSAGE"')], None, True),
    "no MESSAGE by Allow": ([("Contact", "<sip:bob@192.0.2.9>"), ("Allow", "INVITE")], None, False),
    "methods over Allow": (
        [("Contact", '<sip:bob@192.0.2.9>;methods="MESSAGE"'), ("Allow", "INVITE")],
        None,
        True,
    ),
    "owner": ([("Contact", "<sip:bob@192.0.2.9>")], BOB, True),
    "other owner": ([("Contact", "<sip:bob@192.0.2.9>")], CAROL, False),
    "bad owner": ([("Contact", "<sip:bob@192.0.2.9>")], "sip:example.org", False),
    "no owner": ([("Contact", "<sip:bob@192.0.2.9>")], "nonsense", False),
}


@pytest.mark.parametrize(("headers", "owner", "dumped"), DUMPS.values(), ids=DUMPS)
def test_dump_at_registration(headers: list[tuple[str, str]], owner: str | None, dumped: bool) -> None:
    """SPEC.md chapter 2."""
    results: list[bool] = []
    script = Script()

    @script.request_route
    async def main(request: Request) -> None:
        await request.save()
        results.append(await request.m_dump(owner))

    async def scenario(server: TestServer) -> None:
        await server.phone(BOB).request("REGISTER", "sip:example.org", BOB, headers)

    serve(script, scenario)
    assert results == [dumped]


def test_dump_for_another_registrar() -> None:
    """A REGISTER that is relayed, answered 200 elsewhere."""
    results: list[bool] = []
    script = Script()

    @script.request_route
    async def main(request: Request) -> None:
        results.append(await request.m_dump())
        request.set_uri("sip:192.0.2.5")
        await request.relay()

    async def scenario(server: TestServer) -> None:
        server.phone("sip:x@192.0.2.5", "192.0.2.5:5060")
        phone = server.phone(BOB)
        for header in (("Contact", f"<{phone.contact}>"), ("Contact", f"<{phone.contact}>;expires=0")):
            assert (await phone.request("REGISTER", "sip:example.org", BOB, [header])).status == 200

    serve(script, scenario)
    assert results == [True, False]


@pytest.mark.parametrize("maxmsg", [0, -1])
def test_number_of_messages_that_is_none(maxmsg: int) -> None:
    async def work(request: Request) -> None:
        with pytest.raises(ValueError, match="maxmsg"):
            await request.m_dump(maxmsg=maxmsg)
        await request.reply(299)

    assert ask(work).status == 299


# -- lookup


def test_message_queues_behind_what_is_delivered() -> None:
    """SPEC.md chapter 4: MESSAGEs that arrive during a flush are stored behind it; typing is not."""
    found: list[bool] = []

    async def work(request: Request) -> None:
        found.append(await request.lookup())
        await (request.relay() if found[-1] else store(request))

    async def scenario(server: TestServer) -> None:
        await server.send(ALICE, BOB, "1")
        bob = server.phone(BOB)
        bob.answer = None
        lines = [("Contact", f"<{bob.contact}>")]
        assert (await bob.request("REGISTER", "sip:example.org", BOB, lines)).status == 200
        assert (await server.send(ALICE, BOB, "2")).status == 202
        bob.answer = 200
        assert (await server.phone(ALICE).request("MESSAGE", BOB, BOB, [TYPING], b"<x/>")).status == 200
        assert found == [False, False, True]

    serve(scripted(work), scenario)
