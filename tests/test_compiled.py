"""Traps of mypyc in the modules that are compiled (pyproject.toml); the tests run them plain as a rule."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
SOURCES = {*ROOT.glob("src/**/*.py")}
EXCLUDED = {ROOT / name for name in HOOK["mypyc"]["exclude"]}
COMPILED = sorted({file for pattern in HOOK["mypyc"]["include"] for file in ROOT.glob(pattern)} - EXCLUDED)


def has_await(statements: list[ast.stmt]) -> bool:
    waiting = (ast.Await, ast.AsyncWith, ast.AsyncFor)
    return any(isinstance(node, waiting) for statement in statements for node in ast.walk(statement))


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: file.stem)
def test_no_finally_waits(file: Path) -> None:
    """mypy 2.4's compiler loses the error that comes through a `finally` with an await in it, or raises it later,
    in another call that runs through to its end.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Try):
            assert not has_await(node.finalbody), f"{file}:{node.finalbody[0].lineno}"


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: file.stem)
def test_name_of_an_exception_has_one_type(file: Path) -> None:
    """In a function each name has one type, so the second `except … as error` would raise TypeError."""
    for function in ast.walk(ast.parse(file.read_text())):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            types: dict[str, str] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                    caught = ast.unparse(node.type)
                    assert types.setdefault(node.name, caught) == caught, f"{function.name}, line {node.lineno}"


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT / "src").with_suffix("").parts)


def test_compiled_classes_have_compiled_heirs_only() -> None:
    """An interpreted class cannot inherit from a compiled one, or (an exception) is not caught as one."""
    compiled = {_module(file) for file in COMPILED}
    for file in sorted(SOURCES - {*COMPILED}):
        tree = ast.parse(file.read_text())
        names = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in compiled
            for alias in node.names
        }
        heirs = [
            f"{file}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            and any(isinstance(base, ast.Name) and base.id in names for base in node.bases)
        ]
        assert heirs == []
