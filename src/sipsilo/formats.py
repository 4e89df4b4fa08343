"""Texts with pseudo-variables in them, as OpenSIPS writes them: `*** User $rU is offline!`.

Parsed once, at the start, so that a wrong name stops the start; expanded for each request. What a variable
holds is the business of `routing.variables`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache

PLAIN = frozenset(
    (
        "$ru $rU $rd $rp $rm $rb $rr $rs $fu $fU $fd $fn $ft $tu $tU $td $tn $tt $ci $cs $ct $cT $cl $du $ou $oU $od "
        "$si $sp $Ri $Rp $proto $ua $ml $Ts $Tf $T_reply_code"
    ).split()
)
"""Variables without an argument."""

WITH_ARGUMENT = frozenset(("$avp", "$var", "$hdr"))
"""Variables with an argument: `$avp(name)`."""

_VARIABLE = re.compile(r"\$(?:\$|(?P<braced>\()?(?P<name>[A-Za-z_]\w*)(?:\((?P<argument>[^()]*)\))?(?(braced)\)))")

_GOES_ON = re.compile(r"[\w(]")
"""What directly behind a variable would be taken for a part of it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A pseudo-variable: `$rU` is name `$rU`; `$avp(x)` is name `$avp`, argument `x`."""

    name: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.name}({self.argument})" if self.argument else self.name


@lru_cache(maxsize=1024)
def parse_variable(text: str) -> Variable:
    """One pseudo-variable: `$rU`, `$(rU)`, `$avp(x)` or `$(avp(x))`. Raises ValueError that says what is wrong."""
    match = _VARIABLE.fullmatch(text)
    if match is None or match["name"] is None:
        raise ValueError(f"{text!r} is no pseudo-variable such as $rU or $avp(name)")
    return _variable(match)


def _variable(match: re.Match[str]) -> Variable:
    name, argument = f"${match['name']}", (match["argument"] or "").strip()
    if name in WITH_ARGUMENT:
        if not argument:
            raise ValueError(f"{match[0]}: {name} needs a name in parentheses, as in {name}(x)")
        return Variable(name, argument.removeprefix("s:"))
    if name not in PLAIN:
        near = "".join(f"; did you mean {known}?" for known in get_close_matches(name, PLAIN | WITH_ARGUMENT, 1, 0.5))
        raise ValueError(f"unknown pseudo-variable {name}{near}")
    if argument:
        raise ValueError(f"{match[0]}: {name} takes nothing in parentheses")
    return Variable(name)


@dataclass(frozen=True)
class Format:
    """A text with variables in it. `parts` are pieces of text and variables, in order."""

    parts: tuple[str | Variable, ...]

    def expand(self, value: Callable[[Variable], object]) -> str:
        """The text with each variable's value in its place; None becomes `<null>`, as in OpenSIPS."""
        return "".join(part if isinstance(part, str) else _shown(value(part)) for part in self.parts)

    @cached_property
    def is_constant(self) -> bool:
        """Whether it holds no variable."""
        return all(isinstance(part, str) for part in self.parts)

    def __str__(self) -> str:
        following = (*self.parts[1:], "")
        return "".join(map(_written, self.parts, following))


def _written(part: str | Variable, following: str | Variable) -> str:
    if isinstance(part, str):
        return part.replace("$", "$$")
    if isinstance(following, str) and _GOES_ON.match(following):
        return f"$({str(part)[1:]})"
    return str(part)


@lru_cache(maxsize=1024)
def parse_format(text: str) -> Format:
    """Take a text with pseudo-variables apart; `$$` is a dollar. Raises ValueError that says what is wrong."""
    parts: list[str | Variable] = []
    place = 0
    for match in _VARIABLE.finditer(text):
        _append(parts, _plain(text[place : match.start()]))
        if match["name"] is None:
            _append(parts, "$")
        else:
            parts.append(_variable(match))
        place = match.end()
    _append(parts, _plain(text[place:]))
    return Format(tuple(parts))


def _plain(text: str) -> str:
    if "$" in text:
        raise ValueError(f"{text!r}: a dollar that begins no variable; write $$ for a dollar")
    return text


def _append(parts: list[str | Variable], text: str) -> None:
    """Add a piece of text, joined to a piece of text before it."""
    if not text:
        return
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)


def _shown(value: object) -> str:
    return "<null>" if value is None else str(value)
