"""A script's mistakes, each with its line, before anything starts."""

from pathlib import Path

import pytest

from sipsilo.routing import ScriptError
from sipsilo.routing.load import load_script
from sipsilo.routing.script import EVENTS

EXAMPLES = Path(__file__).parents[2] / "examples"

HEAD = """\
from sipsilo.routing import Branch, Context, Event, LocalRequest, Reply, Request, Script

script = Script()
"""
MAIN = """
@script.request_route
async def main(request: Request) -> None:
    await request.reply(404)
"""


def mistakes(path: Path, source: str) -> list[str]:
    """What is told of a script, without its folder."""
    file = path / "routes.py"
    file.write_text(source)
    with pytest.raises(ScriptError) as caught:
        load_script(file)
    return [str(mistake).replace(f"{path}/", "") for mistake in caught.value.mistakes]


def in_route(kind: str, line: str) -> str:
    """A script whose seventh line stands in a route of this kind."""
    hand = {"branch_route": "Branch", "onreply_route": "Reply", "startup_route": "Context"}
    hand |= {"timer_route": "Context", "event_route": "Event", "local_route": "LocalRequest"}
    name = {"failure_route": '("x")', "branch_route": '("x")', "timer_route": "(interval=5)"}
    name |= {"event_route": f'("{EVENTS[0]}")'}
    main = "" if kind == "request_route" else MAIN
    return (
        f"{HEAD}\n@script.{kind}{name.get(kind, '')}\n"
        f"async def work(hand: {hand.get(kind, 'Request')}) -> None:\n    {line}\n{main}"
    )


KINDS = [
    "request_route", "failure_route", "onreply_route", "branch_route",
    "startup_route", "timer_route", "event_route", "local_route",
]  # fmt: skip

# Guide chapter 1.4: where each function can be used.
ALLOWED = {
    'await hand.m_store("sip:b@c")': {"request_route", "failure_route"},
    'await hand.m_store_addrs("sip:b@c", "sip:d@e", "sip:f@g")': {"request_route", "failure_route"},
    'await hand.m_dump("sip:b@c", 1)': {"request_route", "startup_route", "timer_route", "event_route"},
    "await hand.save()": {"request_route"},
    "await hand.lookup()": {"request_route", "failure_route"},
    "await hand.relay()": {"request_route", "failure_route"},
    "await hand.reply(404)": {"request_route", "failure_route"},
    "hand.drop()": {"branch_route"},
    'hand.append_hf("X-A", "1")': {"request_route", "failure_route", "onreply_route", "branch_route", "local_route"},
    'hand.log("x")': set(KINDS),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ALLOWED)
def test_function_in_a_route(tmp_path: Path, call: str, kind: str) -> None:
    source = in_route(kind, call)
    if kind in ALLOWED[call]:
        (tmp_path / "routes.py").write_text(source)
        load_script(tmp_path / "routes.py")
        return
    (told,) = mistakes(tmp_path, source)
    name = call.removeprefix("await ").removeprefix("hand.").partition("(")[0]
    assert told.startswith("routes.py:7: ")
    assert name in told
    if name.startswith("m_"):
        assert told.startswith(f"routes.py:7: {name} cannot be called from a {kind}; accepted: from a ")


MISTAKES: dict[str, tuple[str, list[str]]] = {
    "no Python": ("from sipsilo import (\n", ["routes.py:1: not Python: '(' was never closed"]),
    "null character": ("x = 1\0\n", ["routes.py:1: not Python: source code string cannot contain null bytes"]),
    "no script": ("x = 1\n", ["routes.py: makes no script; accepted: script = Script()"]),
    "no request route": (
        HEAD,
        ["routes.py:1: no request route; accepted: one async function under @script.request_route"],
    ),
    "import that is not there": (
        f"import nothing_such\n{HEAD}{MAIN}",
        ["routes.py:1: ModuleNotFoundError: No module named 'nothing_such'"],
    ),
    "exception at import": (f"{HEAD}{MAIN}\nx = 1 / 0\n", ["routes.py:9: ZeroDivisionError: division by zero"]),
    "end at import": (f"{HEAD}{MAIN}\nexit(3)\n", ["routes.py: the script ends the program: SystemExit(3)"]),
    "not async": (
        f"{HEAD}\n@script.request_route\ndef main(request: Request) -> None:\n    pass\n",
        ["routes.py:6: main is no async function; accepted: async def main(…)"],
    ),
    "no parameter": (
        f"{HEAD}\n@script.request_route\nasync def main() -> None:\n    pass\n",
        ["routes.py:6: main is called with one argument, a Request; it takes 0"],
    ),
    "two parameters": (
        f"{HEAD}{MAIN}\n@script.branch_route('x')\nasync def each(branch: Branch, x: int) -> None:\n    pass\n",
        ["routes.py:10: each is called with one argument, a Branch; it takes 2"],
    ),
    "unknown kind": (
        f"{HEAD}{MAIN}\n@script.failur_route('x')\nasync def each(branch: Branch) -> None:\n    pass\n",
        ["routes.py:10: no route of the kind failur_route; did you mean failure_route?"],
    ),
    "nameless": (
        f"{HEAD}{MAIN}\n@script.failure_route\nasync def failed(request: Request) -> None:\n    pass\n",
        ['routes.py:10: failure_route needs a name, as in @script.failure_route("name")'],
    ),
    "unknown event": (
        f"{HEAD}{MAIN}\n@script.event_route('E_X')\nasync def event(event: Event) -> None:\n    pass\n",
        [f"routes.py:10: no event 'E_X'; accepted: {', '.join(EVENTS)}"],
    ),
    "twice": (
        f"{HEAD}{MAIN}{MAIN}",
        ["routes.py:10: a second request_route; the first is in line 6"],
    ),
    "unknown failure route": (
        in_route("request_route", 'hand.t_on_failure("y")'),
        ["routes.py:7: no failure_route named 'y'"],
    ),
    "unknown failure route, others known": (
        in_route("failure_route", 'hand.t_on_failure("y")'),
        ["routes.py:7: no failure_route named 'y'; there are: x"],
    ),
    "unknown variable": (
        in_route("request_route", 'hand["$zU"]'),
        ["routes.py:7: unknown pseudo-variable $zU; did you mean $tU?"],
    ),
    "variable without dollar": (
        in_route("branch_route", 'hand["rU"] = "x"'),
        ["routes.py:7: 'rU' is no pseudo-variable such as $rU or $avp(name)"],
    ),
    "bad format": (
        in_route("local_route", 'hand.format("$zU")'),
        ["routes.py:7: unknown pseudo-variable $zU; did you mean $tU?"],
    ),
    "unknown word under another name": (
        "from sipsilo import routing\nfrom sipsilo.routing import Script as S\na = S()\nb = routing.Script()\n"
        "@a.request_route\nasync def one(request):\n    request.x\n"
        "@b.request_route\nasync def two(request):\n    request.y\n",
        [
            "routes.py:7: a Request has no x",
            "routes.py:10: a Request has no y",
        ],
    ),
    "unknown word": (
        in_route("request_route", "await hand.m_stroe()"),
        ["routes.py:7: a Request has no m_stroe; did you mean m_store?"],
    ),
    "undefined name": (
        in_route("request_route", "await hand.reply(staus)"),
        ["routes.py:7: nothing here is named staus"],
    ),
    "not waited for": (
        in_route("request_route", "hand.relay()"),
        ["routes.py:7: hand.relay(…) is not waited for; accepted: await hand.relay(…)"],
    ),
    "not waited for in a condition": (
        in_route("request_route", "x = 1 if not hand.m_store() else 2"),
        ["routes.py:7: hand.m_store(…) is not waited for; accepted: await hand.m_store(…)"],
    ),
    "in a function that gets the request": (
        in_route("failure_route", "await helper(1, hand)\n\nasync def helper(x, req):\n    await second(r=req)\n"
        "\nasync def second(r):\n    await r.m_dump()"),
        ["routes.py:13: m_dump cannot be called from a failure_route; accepted: from a request_route or "
         "startup_route or timer_route or event_route"],
    ),
    "many at once": (
        in_route("branch_route", 'await hand.m_store(); hand["$x"]; nowhere()'),
        [
            "routes.py:7: m_store cannot be called from a branch_route; accepted: from a request_route or "
            "failure_route",
            "routes.py:7: nothing here is named nowhere",
            "routes.py:7: unknown pseudo-variable $x",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "told"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(tmp_path: Path, source: str, told: list[str]) -> None:
    assert mistakes(tmp_path, source) == told


FINE = {
    "a helper may serve two kinds": in_route("failure_route", "await helper(hand)")
    + "\nasync def helper(request):\n    await request.m_store()\n",
    "recursion": in_route("request_route", "await again(hand)")
    + "\nasync def again(request):\n    await again(request)\n",
    "other names": f"import os.path as p\nfrom sipsilo.routing import Script as S, Request\nroutes = S()\n"
    f"LIMIT: int = 5\n{MAIN.replace('script.', 'routes.')}    x = [y for y in range(LIMIT)]\n"
    "    print(x, p, __name__, __file__)\n",
    "global": f"{HEAD}{MAIN}\ndef count():\n    global seen\n    seen = 1\n\ndef look():\n    return seen\n",
    "closures and classes": f"{HEAD}{MAIN}\nclass A:\n    b = 1\n    def c(self):\n        d = self.b\n"
    "        return lambda: d\n\ntry:\n    import tomllib\nexcept ImportError as error:\n    print(error)\n",
    "star": f"from os.path import *\n{HEAD}{MAIN}    print(join)\n",
    "other parameters": f"{HEAD}\n@script.request_route\nasync def main(request: Request, limit: int = 5, *more):\n"
    "    await request.reply(404)\n",
    "dynamic names": in_route("request_route", 'hand.t_on_failure("x".lower()); hand["$r" + "U"]')
    + "\n@script.failure_route('x')\nasync def failed(request):\n    pass\n",
    "dataclass": f"from dataclasses import dataclass\n{HEAD}{MAIN}\n@dataclass\nclass A:\n    b: 'int' = 1\n",
}


@pytest.mark.parametrize("source", FINE.values(), ids=FINE)
def test_fine(tmp_path: Path, source: str) -> None:
    (tmp_path / "routes.py").write_text(source)
    assert load_script(tmp_path / "routes.py").main is not None


def test_lines_and_files_of_routes(tmp_path: Path) -> None:
    (tmp_path / "routes.py").write_text(HEAD + MAIN)
    main = load_script(tmp_path / "routes.py").main
    assert main is not None
    assert (main.file, main.line) == (str(tmp_path / "routes.py"), 5)


def test_module_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("LIMIT = 1\n")
    (tmp_path / "routes.py").write_text(f"from beside_it import LIMIT\n{HEAD}{MAIN}print(LIMIT)\n")
    load_script(tmp_path / "routes.py")
    (tmp_path / "beside_too.py").write_text("LIMIT = (\n")
    told = mistakes(tmp_path, f"from beside_too import LIMIT\n{HEAD}{MAIN}print(LIMIT)\n")
    assert told == ["beside_too.py:1: '(' was never closed"]


@pytest.mark.parametrize("kind", ["missing", "folder", "bytes"])
def test_file_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "routes.py"
    if kind == "folder":
        file.mkdir()
    elif kind == "bytes":
        file.write_bytes(b"\xff")
    with pytest.raises(ScriptError, match=r"routes.py: cannot be read: "):
        load_script(file)


@pytest.mark.parametrize("file", [*EXAMPLES.glob("*.py"), EXAMPLES.parent / "src/sipsilo/routing/default.py"])
def test_own_scripts(file: Path) -> None:
    assert load_script(file).main is not None
