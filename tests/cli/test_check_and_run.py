"""What `sipsilo check`, and `run` before it starts anything, say about a configuration."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sipsilo import __version__
from sipsilo.cli.app import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "sipsilo.toml"
WRONG = "[msilo]\nexpire_time = 'abc'\ncheck_tim = 5\n"
TOLD = [
    "sipsilo.toml:2: msilo.expire_time: 'abc' is not a whole number; accepted: whole seconds from 1 to 315360000",
    "sipsilo.toml:3: msilo.check_tim: unknown parameter; did you mean msilo.check_time?",
]


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("SIPSILO_MSILO__DB_URL", "SIPSILO_SERVER__LISTEN", "SIPSILO_SERVER__DOMAINS"):
        monkeypatch.delenv(variable, raising=False)


def sipsilo(*arguments: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, arguments, env=environ)


def test_check_says_ok() -> None:
    Path("sipsilo.toml").write_text(EXAMPLE.read_text())
    result = sipsilo("check", "--config", "sipsilo.toml")
    assert (result.exit_code, result.stdout) == (0, "sipsilo.toml: ok\n")


@pytest.mark.parametrize("command", ["check", "run"])
def test_each_mistake_is_a_line_on_stderr(command: str) -> None:
    Path("sipsilo.toml").write_text(WRONG)
    result = sipsilo(command, "--config", "sipsilo.toml")
    assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (1, "", TOLD)


SCRIPT = "from sipsilo.routing import Script, Request\nscript = Script()\n"
ROUTE = "@script.request_route\nasync def main(request: Request) -> None:\n    await request.reply(404)\n"
WRONG_SCRIPT = SCRIPT + ROUTE.replace("reply", "repyl")
TOLD_OF_SCRIPT = ["routes.py:5: a Request has no repyl; did you mean reply?"]


def test_check_looks_at_a_script() -> None:
    Path("sipsilo.toml").write_text("")
    Path("routes.py").write_text(SCRIPT + ROUTE)
    assert sipsilo("check", "--script", "routes.py").stdout == "routes.py: ok\n"
    assert sipsilo("check", "-c", "sipsilo.toml", "-s", "routes.py").stdout == "sipsilo.toml: ok\nroutes.py: ok\n"


@pytest.mark.parametrize(
    "command", [["check"], ["check", "-c", "sipsilo.toml"], ["run"], ["run", "-c", "sipsilo.toml"]]
)
def test_each_mistake_of_a_script_is_a_line_on_stderr(command: list[str]) -> None:
    Path("sipsilo.toml").write_text("")
    Path("routes.py").write_text(WRONG_SCRIPT)
    result = sipsilo(*command, "--script", "routes.py")
    assert (result.exit_code, result.stderr.splitlines()) == (1, TOLD_OF_SCRIPT)


@pytest.mark.parametrize("command", ["check", "run"])
def test_script_that_is_not_there(command: str) -> None:
    result = sipsilo(command, "--script", "routes.py")
    assert (result.exit_code, result.stderr) == (1, "routes.py: cannot be read: No such file or directory\n")


def test_check_wants_something_to_check() -> None:
    result = sipsilo("check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("sipsilo check: nothing to check; accepted: ")


def test_check_looks_at_the_environment_too() -> None:
    Path("sipsilo.toml").write_text("")
    result = sipsilo("check", "-c", "sipsilo.toml", environ={"SIPSILO_MSILO__DB_URL": "oracle://u:secret@h/db"})
    assert result.exit_code == 1
    assert result.stderr.startswith("SIPSILO_MSILO__DB_URL: oracle:… is no URL of a database that we know;")
    assert "secret" not in result.stderr


def test_run_takes_flags() -> None:
    result = sipsilo("run", "--listen", "udp:127.0.0.1:0", "--listen", "udp:h", "--domain", "a b", "--db-url", "x")
    assert result.exit_code == 1
    assert [line.partition(";")[0] for line in result.stderr.splitlines()] == [
        "--listen: 'udp:h' has no port",
        "--domain: 'a b' is no host or host:port",
        "--db-url: it is no URL of a database that we know",
    ]


@pytest.mark.parametrize("command", ["run", "check", "send", "listen"])
def test_help_has_an_example(command: str) -> None:
    result = sipsilo(command, "--help")
    assert result.exit_code == 0
    assert f"$ sipsilo {command} " in result.stdout


def test_version() -> None:
    assert sipsilo("--version").stdout == f"sipsilo {__version__}\n"
