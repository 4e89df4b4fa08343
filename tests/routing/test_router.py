"""Routes that no request starts, and what scripts may not be."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sipsilo.config import Msilo, Settings
from sipsilo.routing import Context, Event, LocalRequest, Request, Script, ScriptError
from sipsilo.server import StartError
from sipsilo.testing import TestServer
from tests.loop import run
from tests.routing.test_request import ALICE, BOB, CAROL, serve


def new_script() -> Script:
    """A script that stores every MESSAGE and saves every REGISTER, and delivers nothing."""
    script = Script()

    @script.request_route
    async def main(request: Request) -> None:
        if request.method == "REGISTER":
            await request.save()
        elif request.method == "MESSAGE":
            stored = await request.m_store()
            await request.reply(stored.status)

    return script


def test_startup_route() -> None:
    done: list[bool] = []
    script = new_script()

    @script.startup_route
    async def startup(context: Context) -> None:
        context.log("Good morning")
        done.append(await context.m_dump(BOB))

    async def scenario(server: TestServer) -> None:
        assert done == [False]  # nothing is bound yet
        assert (await server.send(ALICE, BOB, "Hi")).status == 202

    serve(script, scenario)


def test_startup_route_that_fails_stops_the_start() -> None:
    script = new_script()

    @script.startup_route
    async def startup(context: Context) -> None:
        raise ValueError("not today")

    async def start() -> None:
        async with TestServer(script):
            raise AssertionError("it has started")

    line = startup.__code__.co_firstlineno + 2
    with pytest.raises(StartError, match=rf"test_router.py:{line}: ValueError: not today$"):
        run(start())


def test_timer_route() -> None:
    script = new_script()
    ticks: list[bool] = []

    @script.timer_route(interval=0.02)
    async def tick(context: Context) -> None:
        ticks.append(await context.m_dump(BOB, 1))
        if len(ticks) == 1:
            raise ValueError("and yet it goes on")

    async def scenario(server: TestServer) -> None:
        bob = await server.register(BOB)
        for text in ("1", "2"):
            await server.send(ALICE, BOB, text)
        async with asyncio.timeout(5):
            while len(bob.messages) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert bob.messages == ["1", "2"]
        assert True in ticks

    serve(script, scenario)


@pytest.mark.parametrize(
    ("owner", "dumped"), [(BOB, True), (CAROL, False), ("sip:dave@example.com", True), ("nonsense", False)]
)
def test_dump_without_a_request(owner: str, dumped: bool) -> None:
    """Somebody else's users need no binding here: their own server is asked (SPEC.md chapter 2)."""
    script = new_script()
    done: list[bool] = []

    @script.event_route("E_UL_CONTACT_INSERT")
    async def inserted(event: Event) -> None:
        done.append(await event.m_dump(owner))

    async def scenario(server: TestServer) -> None:
        await server.register(BOB)
        await server.settled()
        assert done == [dumped]

    serve(script, scenario)


def test_dump_by_way_of_the_outbound_proxy() -> None:
    """It knows where users are of whom nothing is bound here (guide chapter 1.3.8)."""
    script = new_script()
    done: list[bool] = []

    @script.timer_route(interval=0.02)
    async def tick(context: Context) -> None:
        done.append(await context.m_dump(BOB))

    async def scenario(server: TestServer) -> None:
        proxy = server.phone("sip:proxy@192.0.2.5", "192.0.2.5:5060")
        await server.send(ALICE, BOB, "Hi")
        async with asyncio.timeout(5):
            while not proxy.messages:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert [request.uri_text for request in proxy.requests] == [BOB]
        assert done[0]

    serve(script, scenario, Settings(msilo=Msilo(outbound_proxy="sip:192.0.2.5", add_date=False)))


def test_events() -> None:
    script = new_script()
    told: list[tuple[object, ...]] = []

    async def tell(event: Event) -> None:
        told.append((event.name, event.aor, event.contact, event.cseq))
        assert event.call_id == "register-20000"
        assert event.received == "tcp:127.0.0.1:20000"
        assert event.path == ("<sip:edge.example.org;lr>",)
        assert event.expires_at > 0
        if event.name == "E_UL_CONTACT_INSERT":
            assert await event.m_dump()

    for name in ("E_UL_CONTACT_INSERT", "E_UL_CONTACT_UPDATE", "E_UL_CONTACT_DELETE"):
        script.event_route(name)(tell)

    async def scenario(server: TestServer) -> None:
        bob = server.phone(BOB)
        path = ("Path", "<sip:edge.example.org;lr>")
        for expires in (3600, 3600, 0):
            assert (await bob.register(path, ("Supported", "path"), expires=expires)).status == 200
        assert told == [
            ("E_UL_CONTACT_INSERT", BOB, bob.contact, 1),
            ("E_UL_CONTACT_UPDATE", BOB, bob.contact, 2),
            # what is gone is told as it was
            ("E_UL_CONTACT_DELETE", BOB, bob.contact, 2),
        ]

    serve(script, scenario)


def test_event_route_delivers_what_is_stored() -> None:
    script = new_script()

    @script.event_route("E_UL_CONTACT_INSERT")
    async def inserted(event: Event) -> None:
        await event.m_dump()

    async def scenario(server: TestServer) -> None:
        await server.send(ALICE, BOB, "Hi")
        bob = await server.register(BOB)
        assert bob.messages == ["Hi"]

    serve(script, scenario)


def test_local_route() -> None:
    script = new_script()

    @script.local_route
    async def ours(request: LocalRequest) -> None:
        request.append_hf("X-Silo", str(request.format("for $tU by $rm")))
        request.remove_hf("Subject")

    @script.event_route("E_UL_CONTACT_INSERT")
    async def inserted(event: Event) -> None:
        await event.m_dump()

    async def scenario(server: TestServer) -> None:
        await server.send(ALICE, BOB, "Hi", ("Subject", "s"))
        bob = await server.register(BOB)
        (message,) = bob.requests
        assert (message.get("x-silo"), message.get("subject")) == ("for bob by MESSAGE", None)

    serve(script, scenario)


def test_script_without_request_route() -> None:
    async def start() -> None:
        async with TestServer(Script()):
            raise AssertionError("it has started")

    with pytest.raises(StartError, match="no request route"):
        run(start())


# -- registering routes


async def route(hand: Any) -> None:
    """Any route."""


async def other(hand: Any) -> None:
    """Another route."""


def not_async(hand: Any) -> None:
    """What no route can be."""


TWICE: list[Callable[[Script], Callable[[Any], Any]]] = [
    lambda script: script.request_route,
    lambda script: script.onreply_route,
    lambda script: script.startup_route,
    lambda script: script.local_route,
    lambda script: script.failure_route("x"),
    lambda script: script.onreply_route("x"),
    lambda script: script.branch_route("x"),
    lambda script: script.event_route("E_UL_CONTACT_INSERT"),
]


@pytest.mark.parametrize("register", TWICE)
def test_each_route_once(register: Callable[[Script], Callable[[Any], Any]]) -> None:
    script = Script()
    assert register(script)(route) is route
    lines = other.__code__.co_firstlineno, route.__code__.co_firstlineno
    with pytest.raises(ScriptError, match=rf"test_router.py:{lines[0]}: a second .* at .*test_router.py:{lines[1]}$"):
        register(script)(other)


@pytest.mark.parametrize("register", [*TWICE, lambda script: script.timer_route(interval=1)])
def test_routes_are_async(register: Callable[[Script], Callable[[Any], Any]]) -> None:
    with pytest.raises(
        ScriptError, match=rf"test_router.py:{not_async.__code__.co_firstlineno}: not_async is no async"
    ):
        register(Script())(not_async)


@pytest.mark.parametrize(
    "bad",
    [
        partial(Script.event_route, name="E_NONE"),
        partial(Script.timer_route, interval=0),
        partial(Script.timer_route, interval=-1),
    ],
)
def test_route_that_cannot_be(bad: Callable[[Script], object]) -> None:
    with pytest.raises(ValueError, match="accepted"):
        bad(Script())
