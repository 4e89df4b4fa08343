"""Looks through a script's source for what would go wrong only when a request comes.

It follows the request from each route into the functions of the same file that it is handed to.
"""

import ast
import builtins
import symtable
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from sipsilo.config.errors import Mistake
from sipsilo.formats import parse_format, parse_variable
from sipsilo.routing.occasions import Context, Event
from sipsilo.routing.parts import Branch, LocalRequest, Reply
from sipsilo.routing.request import Request
from sipsilo.routing.script import EVENTS, shown

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_HANDS: Mapping[str, type] = {
    "request_route": Request,
    "failure_route": Request,
    "onreply_route": Reply,
    "branch_route": Branch,
    "startup_route": Context,
    "timer_route": Context,
    "event_route": Event,
    "local_route": LocalRequest,
}
"""The kinds of route by their decorators, and what each has in hand."""

_ONLY_IN: Mapping[str, tuple[str, ...]] = {
    "m_store": ("request_route", "failure_route"),
    "m_store_addrs": ("request_route", "failure_route"),
    "m_dump": ("request_route", "startup_route", "timer_route", "event_route"),
    "save": ("request_route",),
    "lookup": ("request_route", "failure_route"),
    "relay": ("request_route", "failure_route"),
    "reply": ("request_route", "failure_route"),
    "options_reply": ("request_route",),
    "t_newtran": ("request_route",),
    "t_on_failure": ("request_route", "failure_route"),
    "t_on_reply": ("request_route", "failure_route"),
    "t_on_branch": ("request_route", "failure_route"),
}
"""Functions that not every route may call (guide chapter 1.4)."""

_NAMED = ("failure_route", "onreply_route", "branch_route", "event_route")
_ARMING = {"t_on_failure": "failure_route", "t_on_reply": "onreply_route", "t_on_branch": "branch_route"}
_FORMAT = "format"


class _Route(NamedTuple):
    """A decorated function: its script's variable, its kind, the name given to the decorator ("" for none)."""

    script: str
    kind: str
    name: str
    function: _Function


class _Use(NamedTuple):
    """A function and the parameter in which it gets what a route of this kind has in hand."""

    function: _Function
    parameter: str
    kind: str


def mistakes_in(source: str, file: str) -> list[Mistake]:
    """All mistakes that can be seen in a script's source, in the order of its lines."""
    try:
        tree = ast.parse(source, file)
    except (SyntaxError, ValueError) as error:  # ValueError: a null character
        line = (error.lineno if isinstance(error, SyntaxError) else None) or 1
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        return [Mistake(f"{shown(file)}:{line}", f"not Python: {what}")]
    found = set(_undefined_names(tree, source, file))
    scripts = _script_names(tree)
    routes = list(_routes(tree, scripts))
    for route in routes:
        found.update(_signature_problems(route))
    found.update(_name_problems(routes))
    for use in _uses(tree, routes):
        found.update(_use_problems(use, routes))
    if scripts and not any(route.kind == "request_route" or route.kind not in _HANDS for route in routes):
        found.add((1, "no request route; accepted: one async function under @script.request_route"))
    return [Mistake(f"{shown(file)}:{line}", problem) for line, problem in sorted(found)]


Problem = tuple[int, str]
"""A line and what is wrong in it."""


# -- routes


def _script_names(tree: ast.Module) -> set[str]:
    """The variables of the module that hold a Script."""
    classes = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == "Script"
    }
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call):
            made = node.value.func
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if (isinstance(made, ast.Name) and made.id in classes) or (
                isinstance(made, ast.Attribute) and made.attr == "Script"
            ):
                names.update(target.id for target in targets if isinstance(target, ast.Name))
    return names


def _routes(tree: ast.Module, scripts: set[str]) -> Iterator[_Route]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                call = decorator if isinstance(decorator, ast.Call) else None
                target = decorator.func if isinstance(decorator, ast.Call) else decorator
                if (
                    isinstance(target, ast.Attribute)
                    and isinstance(target.value, ast.Name)
                    and target.value.id in scripts
                ):
                    yield _Route(target.value.id, target.attr, _first_text(call), node)


def _first_text(call: ast.Call | None) -> str:
    """The first argument of a call if it is a text, else ""."""
    if call is None:
        return ""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    text = arguments[0].value if arguments and isinstance(arguments[0], ast.Constant) else ""
    return text if isinstance(text, str) else ""


def _signature_problems(route: _Route) -> Iterator[Problem]:
    function = route.function
    if route.kind not in _HANDS:
        yield function.lineno, f"no route of the kind {route.kind}{_near(route.kind, _HANDS)}"
        return
    if isinstance(function, ast.FunctionDef):
        yield function.lineno, f"{function.name} is no async function; accepted: async def {function.name}(…)"
    arguments = function.args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    most = len(arguments.posonlyargs) + len(arguments.args)
    needs_keywords = len(arguments.kwonlyargs) > sum(default is not None for default in arguments.kw_defaults)
    if required > 1 or (most < 1 and arguments.vararg is None) or needs_keywords:
        hand = _HANDS[route.kind].__name__
        yield function.lineno, f"{function.name} is called with one argument, a {hand}; it takes {most}"


def _name_problems(routes: Sequence[_Route]) -> Iterator[Problem]:
    first: dict[tuple[str, str, str], int] = {}
    for route in routes:
        if route.kind in ("failure_route", "branch_route", "event_route") and not route.name:
            yield route.function.lineno, f"{route.kind} needs a name, as in @script.{route.kind}({_sample(route.kind)})"
            continue
        if route.kind == "event_route" and route.name not in EVENTS:
            yield route.function.lineno, f"no event {route.name!r}; accepted: {', '.join(EVENTS)}"
        key = route.script, route.kind, route.name
        if route.kind in _HANDS and route.kind != "timer_route":
            if key in first:
                name = f"({route.name!r})" if route.name else ""
                yield route.function.lineno, f"a second {route.kind}{name}; the first is in line {first[key]}"
            first.setdefault(key, route.function.lineno)


def _sample(kind: str) -> str:
    return '"E_UL_CONTACT_INSERT"' if kind == "event_route" else '"name"'


# -- what is done with what a route has in hand


def _uses(tree: ast.Module, routes: Sequence[_Route]) -> Iterator[_Use]:
    """Each route, and each function of the file that gets what a route has in hand; each but once for a kind."""
    functions = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    waiting = [
        _Use(route.function, parameters[0], route.kind)
        for route in routes
        if route.kind in _HANDS and (parameters := _parameters(route.function))
    ]
    seen: set[tuple[int, str, str]] = set()
    while waiting:
        use = waiting.pop()
        key = id(use.function), use.parameter, use.kind
        if key in seen:
            continue
        seen.add(key)
        yield use
        for node in ast.walk(use.function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
                called = functions[node.func.id]
                waiting += [_Use(called, parameter, use.kind) for parameter in _handed_to(called, node, use.parameter)]


def _parameters(function: _Function) -> list[str]:
    return [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]


def _handed_to(called: _Function, call: ast.Call, name: str) -> Iterator[str]:
    """The parameters in which a function gets the variable `name`."""
    for parameter, argument in zip(_parameters(called), call.args, strict=False):
        if isinstance(argument, ast.Name) and argument.id == name:
            yield parameter
    for keyword in call.keywords:
        if keyword.arg is not None and isinstance(keyword.value, ast.Name) and keyword.value.id == name:
            yield keyword.arg


def _use_problems(use: _Use, routes: Sequence[_Route]) -> Iterator[Problem]:
    hand = _HANDS[use.kind]
    for node in ast.walk(use.function):
        if isinstance(node, ast.Attribute) and _is(node.value, use.parameter):
            yield from _attribute_problems(node, hand, use.kind)
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is(node.func.value, use.parameter)
        ):
            yield from _call_problems(node, node.func.attr, routes)
        elif isinstance(node, ast.Subscript) and _is(node.value, use.parameter):
            yield from _variable_problems(node.slice)
    yield from _unawaited(use, hand)


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _attribute_problems(node: ast.Attribute, hand: type, kind: str) -> Iterator[Problem]:
    name = node.attr
    kinds = _ONLY_IN.get(name)
    if kinds is not None and kind not in kinds:
        yield node.lineno, f"{name} cannot be called from a {kind}; accepted: from a {' or '.join(kinds)}"
    elif not hasattr(hand, name):
        known = [word for word in dir(hand) if not word.startswith("_")]
        yield node.lineno, f"a {hand.__name__} has no {name}{_near(name, known)}"


def _call_problems(node: ast.Call, name: str, routes: Sequence[_Route]) -> Iterator[Problem]:
    text = _first_text(node)
    kind = _ARMING.get(name)
    if kind is not None and text:
        known = [route.name for route in routes if route.kind == kind]
        if text not in known:
            there = f"; there are: {', '.join(sorted(known))}" if known else ""
            yield node.lineno, f"no {kind} named {text!r}{there}"
    elif name == _FORMAT and text:
        try:
            parse_format(text)
        except ValueError as error:
            yield node.lineno, str(error)


def _variable_problems(name: ast.expr) -> Iterator[Problem]:
    if isinstance(name, ast.Constant):
        try:
            parse_variable(name.value if isinstance(name.value, str) else repr(name.value))
        except ValueError as error:
            yield name.lineno, str(error)


def _unawaited(use: _Use, hand: type) -> Iterator[Problem]:
    """Calls of async functions where only their results make sense."""
    for node in ast.walk(use.function):
        for value in _results(node):
            if (
                isinstance(value, ast.Call)
                and isinstance(value.func, ast.Attribute)
                and _is(value.func.value, use.parameter)
                and value.func.attr in _ASYNC
                and hasattr(hand, value.func.attr)
            ):
                call = f"{use.parameter}.{value.func.attr}"
                yield value.lineno, f"{call}(…) is not waited for; accepted: await {call}(…)"


_ASYNC = frozenset(
    ("reply", "options_reply", "save", "lookup", "relay", "m_store", "m_store_addrs", "m_dump"),
)
"""By name, because a compiled method does not tell."""


def _results(node: ast.AST) -> list[ast.expr]:
    """The expressions of which this node uses the result."""
    if isinstance(node, (ast.Expr, ast.Return)):
        return [] if node.value is None else [node.value]
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        return [node.test]
    if isinstance(node, ast.UnaryOp):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    return []


# -- names


_GIVEN = frozenset(("__file__", "__annotations__", "__builtins__", "__cached__", "__module__", "__qualname__"))
"""What Python gives a value where nothing in the file does."""


def _undefined_names(tree: ast.Module, source: str, file: str) -> Iterator[Problem]:
    """Names that nothing in the file gives a value."""
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return
    top = symtable.symtable(source, file, "exec")
    defined = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    defined |= {symbol.get_name() for symbol in top.get_symbols() if symbol.is_namespace()}
    defined |= _made_global(top) | set(dir(builtins)) | _GIVEN
    unknown = _global_reads(top) - defined
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in unknown:
            yield node.lineno, f"nothing here is named {node.id}{_near(node.id, sorted(defined))}"


def _global_reads(table: symtable.SymbolTable) -> set[str]:
    at_top = table.get_type() == "module"
    names = {
        symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and (at_top or symbol.is_global())
    }
    return names.union(*(_global_reads(child) for child in table.get_children()))


def _made_global(table: symtable.SymbolTable) -> set[str]:
    """Names that functions assign under `global`."""
    names = {
        symbol.get_name() for symbol in table.get_symbols() if symbol.is_declared_global() and symbol.is_assigned()
    }
    return names.union(*(_made_global(child) for child in table.get_children()))


def _near(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    near = get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""
