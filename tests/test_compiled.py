"""Traps of mypyc in the modules that are compiled (pyproject.toml); the tests run them plain as a rule."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
COMPILED = sorted(file for pattern in BUILD["mypyc"]["include"] for file in ROOT.glob(pattern))


def has_await(statements: list[ast.stmt]) -> bool:
    waiting = (ast.Await, ast.AsyncWith, ast.AsyncFor)
    return any(isinstance(node, waiting) for statement in statements for node in ast.walk(statement))


def tries_that_wait_at_the_end(tree: ast.AST) -> Iterator[ast.Try]:
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Try) and has_await(node.finalbody):
                    yield node


@pytest.mark.parametrize("file", COMPILED, ids=lambda file: file.stem)
def test_await_in_finally_is_reached_by_return(file: Path) -> None:
    """mypy 2.4's compiler keeps the error that once came through such a `finally`, and raises it again when the
    same `try` of another call runs through to its end; not when that is left by `return` or `raise`.
    """
    for node in tries_that_wait_at_the_end(ast.parse(file.read_text())):
        last = (node.orelse or node.body)[-1]
        assert isinstance(last, ast.Return | ast.Raise), f"{file}:{last.lineno}"


def test_there_is_such_a_place() -> None:
    assert any(True for file in COMPILED for _ in tries_that_wait_at_the_end(ast.parse(file.read_text())))


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
