"""What mypyc compiles stays clear of what it compiles wrong; unit tests run the plain sources."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
COMPILED = [file for pattern in HOOK["mypyc"]["include"] for file in ROOT.glob(pattern)]


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: str(file.relative_to(ROOT)))
def test_name_of_an_exception_has_one_type(file: Path) -> None:
    """In a function each name has one type, so the second `except … as error` would raise TypeError."""
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            types: dict[str, str] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                    caught = ast.unparse(node.type)
                    assert types.setdefault(node.name, caught) == caught, f"{function.name}, line {node.lineno}"
