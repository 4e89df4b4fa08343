"""What docs/scripts.md shows works as it stands there, and names what there is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sipsilo.formats import PLAIN, WITH_ARGUMENT
from sipsilo.routing import Branch, Context, Event, LocalRequest, Reply, Request

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scripts.md").read_text()
SCRIPT, TEST, _ = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder, env=environment)


@pytest.mark.parametrize("arguments", [["test.py"], ["-m", "sipsilo", "check", "--script", "routes.py"]])
def test_example(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "routes.py").write_text(SCRIPT)
    (tmp_path / "test.py").write_text(TEST)
    done = python(tmp_path, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_example_is_typed(tmp_path: Path) -> None:
    (tmp_path / "routes.py").write_text(SCRIPT)
    (tmp_path / "test.py").write_text(TEST)
    done = python(tmp_path, "-m", "mypy", "--strict", "routes.py", "test.py")
    assert done.returncode == 0, done.stdout


def test_every_variable_is_told() -> None:
    table = PAGE.partition("## Variables")[2]
    told = set(re.findall(r"`(\$\w+)(?:\(x\))?`", table))
    assert told == PLAIN | WITH_ARGUMENT


DEEPER = {"message", "set_uri", "next_hop", "has_avps", "target"}


@pytest.mark.parametrize("hand", [Request, Branch, Reply, LocalRequest, Context, Event])
def test_every_word_is_told(hand: type) -> None:
    """But for the ones that reach deeper than a script usually needs to."""
    words = {word for word in dir(hand) if not word.startswith("_")} - DEEPER
    assert {word for word in words if not re.search(rf"\b{word}\b", PAGE)} == set()
