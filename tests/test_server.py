"""The server inside another program."""

import asyncio
import gc
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

import sipsilo
from sipsilo.config import Listen, Msilo, Settings
from sipsilo.config import Server as ServerSettings
from sipsilo.routing import Script
from tests.acceptance.agent import Agent
from tests.loop import run

ROOT = Path(__file__).parents[1]


def settings(folder: Path, *listen: Listen) -> Settings:
    return Settings(
        server=ServerSettings(
            listen=listen or (Listen("udp", "127.0.0.1", 0), Listen("tcp", "127.0.0.1", 0)), domains=("example.org",)
        ),
        msilo=Msilo(db_url=f"sqlite:///{folder / 'silo.db'}"),
    )


def test_server_leaves_its_host_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        before = host_state()
        tasks = asyncio.all_tasks()
        async with sipsilo.Server(settings(tmp_path)) as server:
            udp, tcp = server.listening
            assert re.fullmatch(r"udp:127\.0\.0\.1:\d+", udp)
            assert re.fullmatch(r"tcp:127\.0\.0\.1:\d+", tcp)
            assert host_state() == before
            async with await Agent.open(int(udp.rpartition(":")[2])) as phone:
                assert (await phone.message("bob", "Hi")).status == 202
        assert host_state() == before
        assert loop.is_running()
        assert asyncio.all_tasks() == tasks

    run(scenario())


def host_state() -> tuple[object, ...]:
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return signals, gc.get_threshold(), gc.get_freeze_count(), structlog.is_configured()


def test_two_servers_in_one_program(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "two").mkdir()
        one, two = sipsilo.Server(settings(tmp_path)), sipsilo.Server(settings(tmp_path / "two"))
        async with one, two:
            ports = {place.rpartition(":")[2] for place in (*one.listening, *two.listening)}
            assert len(ports) == 4

    run(scenario())


@pytest.mark.parametrize("problem", ["address", "database", "script"])
def test_server_that_cannot_start_leaves_nothing_behind(tmp_path: Path, problem: str) -> None:
    async def scenario() -> None:
        tasks = asyncio.all_tasks()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            wanted = settings(tmp_path, Listen("udp", "127.0.0.1", 0))
            if problem == "address":
                wanted = settings(tmp_path, *wanted.server.listen, Listen("tcp", "127.0.0.1", taken.getsockname()[1]))
            elif problem == "database":
                (tmp_path / "silo.db").mkdir()
            script = Script() if problem == "script" else None
            with pytest.raises(sipsilo.StartError) as caught:
                async with sipsilo.Server(wanted, script):
                    raise AssertionError("it has started")
        assert "\n" not in str(caught.value)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == tasks

    run(scenario())


def python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=environment)


def test_importing_costs_nothing() -> None:
    done = python("-c", "import sys, sipsilo; print([name for name in sys.modules if name.startswith('sipsilo.')])")
    assert done.stdout == "[]\n", done.stderr


def test_all_that_is_promised_is_there() -> None:
    assert {name: getattr(sipsilo, name) for name in sipsilo.__all__}.keys() <= set(dir(sipsilo))
    with pytest.raises(AttributeError, match="no attribute 'Sever'"):
        _ = sipsilo.Sever


def test_example_of_a_host_program() -> None:
    done = python("examples/embedding.py")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"listening on udp:127\.0\.0\.1:\d+\n"
        r"MESSAGE:  SIP/2.0 202 Accepted\n"
        r"kept for: sip:bob@example.org\n"
        r"REGISTER: SIP/2.0 200 OK\n"
        r"Bob gets: \[Offline message - .*\] See you at eight\?\n",
        done.stdout,
    )


TYPED = """
import sipsilo
from sipsilo.routing import Branch, Context, Event, LocalRequest, Reply, Request, Script
from sipsilo.testing import TestServer

script = Script()


@script.request_route
async def main(request: Request) -> None:
    if not request.process_max_forwards(10):
        return await request.reply(483, "Too Many Hops")
    request["$avp(x)"] = request["$cs"]
    request.t_on_branch("b")
    stored = await request.m_store()
    if not stored:
        await request.reply(stored.status, stored.reason, stored.headers)


@script.failure_route("f")
async def failed(request: Request) -> None: ...


@script.branch_route("b")
async def branch(branch: Branch) -> None:
    branch.drop()


@script.onreply_route
async def every(reply: Reply) -> None: ...


@script.onreply_route("r")
async def some(reply: Reply) -> None: ...


@script.startup_route
async def startup(context: Context) -> None:
    await context.m_dump("sip:bob@example.org", 5)


@script.timer_route(interval=5)
async def tick(context: Context) -> None: ...


@script.event_route("E_UL_CONTACT_INSERT")
async def bound(event: Event) -> None:
    await event.m_dump(maxmsg=1)


@script.local_route
async def ours(request: LocalRequest) -> None: ...


async def test() -> None:
    async with TestServer(script, sipsilo.Settings()) as server:
        bob = await server.register("sip:bob@example.org")
        assert bob.messages == []
    async with sipsilo.Server(sipsilo.Settings(), script) as real:
        print(*real.listening)
"""

UNTYPED = {
    "m_store in a branch route": ("branch.drop()", "branch.m_store()", '"Branch" has no attribute "m_store"'),
    "wrong hand": ("branch: Branch)", "branch: Reply)", 'cannot be "Callable[[Reply], '),
    "unknown word": ("await request.m_store()", "await request.m_stroe()", '"Request" has no attribute "m_stroe"'),
    "no number": ("request.reply(483,", "request.reply('483',", "Argument 1 to"),
}


def test_scripts_are_typed(tmp_path: Path) -> None:
    """mypy --strict knows what each route has in hand."""
    (tmp_path / "right.py").write_text(TYPED)
    for number, (old, new, _) in enumerate(UNTYPED.values()):
        assert old in TYPED
        (tmp_path / f"wrong{number}.py").write_text(TYPED.replace(old, new))
    done = python("-m", "mypy", "--strict", "examples", str(tmp_path))
    told = done.stdout.splitlines()
    assert done.returncode == 1, done.stdout
    assert not [line for line in told if "examples" in line or "right.py" in line], done.stdout
    for number, (_, _, problem) in enumerate(UNTYPED.values()):
        assert [line for line in told if f"wrong{number}.py" in line and problem in line], done.stdout
