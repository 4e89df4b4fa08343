"""Texts with pseudo-variables."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.formats import PLAIN, WITH_ARGUMENT, Format, Variable, parse_format, parse_variable


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("$rU", Variable("$rU")),
        ("$(rU)", Variable("$rU")),
        ("$avp(x)", Variable("$avp", "x")),
        ("$avp(s:x)", Variable("$avp", "x")),
        ("$(avp(x))", Variable("$avp", "x")),
        ("$hdr(Reply-To)", Variable("$hdr", "Reply-To")),
        ("$var( x )", Variable("$var", "x")),
        ("$T_reply_code", Variable("$T_reply_code")),
    ],
)
def test_variable(text: str, variable: Variable) -> None:
    assert parse_variable(text) == variable


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rU", "'rU' is no pseudo-variable such as $rU or $avp(name)"),
        ("$", "'$' is no pseudo-variable such as $rU or $avp(name)"),
        ("$$", "'$$' is no pseudo-variable such as $rU or $avp(name)"),
        ("$rU and more", "'$rU and more' is no pseudo-variable such as $rU or $avp(name)"),
        ("$rUU", "unknown pseudo-variable $rUU; did you mean $rU?"),
        ("$xyz", "unknown pseudo-variable $xyz"),
        ("$avp", "$avp: $avp needs a name in parentheses, as in $avp(x)"),
        ("$avp()", "$avp(): $avp needs a name in parentheses, as in $avp(x)"),
        ("$rU(x)", "$rU(x): $rU takes nothing in parentheses"),
    ],
)
def test_no_variable(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}$"):
        parse_variable(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        ("plain", ("plain",)),
        ("*** User $rU is offline!", ("*** User ", Variable("$rU"), " is offline!")),
        ("sip:$rU@$rd", ("sip:", Variable("$rU"), "@", Variable("$rd"))),
        ("$rU$rd", (Variable("$rU"), Variable("$rd"))),
        ("$(rU)s", (Variable("$rU"), "s")),
        ("5 $$ a month", ("5 $ a month",)),
        ("$$rU", ("$rU",)),
        ("$avp(x).", (Variable("$avp", "x"), ".")),
    ],
)
def test_format(text: str, parts: tuple[str | Variable, ...]) -> None:
    parsed = parse_format(text)
    assert parsed.parts == parts
    assert parsed.is_constant is all(isinstance(part, str) for part in parts)
    assert parse_format(str(parsed)) == parsed


@pytest.mark.parametrize("text", ["$", "5 $ a month", "$rUs", "a$-b", "$(rU"])
def test_bad_format(text: str) -> None:
    with pytest.raises(ValueError, match=r"\$"):
        parse_format(text)


def test_expansion() -> None:
    values = {"$rU": "bob", "$cs": 7, "$du": None}
    text = parse_format("$rU ($cs, $$1) over $du").expand(lambda variable: values[variable.name])
    assert text == "bob (7, $1) over <null>"


VARIABLES = st.sampled_from(sorted(PLAIN)).map(Variable) | st.builds(
    Variable, st.sampled_from(sorted(WITH_ARGUMENT)), st.text("abcXYZ-_09", min_size=1)
)
PARTS = st.lists(st.text(min_size=1) | VARIABLES).map(
    lambda parts: [part for place, part in enumerate(parts) if place == 0 or not _two_texts(parts[place - 1], part)]
)


def _two_texts(one: str | Variable, other: str | Variable) -> bool:
    return isinstance(one, str) and isinstance(other, str)


@given(PARTS)
def test_what_is_written_is_read(parts: list[str | Variable]) -> None:
    assert parse_format(str(Format(tuple(parts)))).parts == tuple(parts)
