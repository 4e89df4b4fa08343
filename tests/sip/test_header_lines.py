"""Header lines that people and other programs have written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.sip.header_lines import one_line, parse_header_lines, stored_header_lines

ONE, TWO = ("X-A", "1"), ("X-B", "a: b")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("X-A: 1\r\n", [ONE]),
        ("X-A: 1", [ONE]),
        ("X-A:1\n", [ONE]),
        ("X-A \t:  1 \t\r\n", [ONE]),
        ("X-A: 1\r\nX-B: a: b\r\n", [ONE, TWO]),
        ("X-A: 1\nX-B: a: b", [ONE, TWO]),
        ("X-A:\r\n", [("X-A", "")]),
        ("X-A: \tü\r\n", [("X-A", "ü")]),
    ],
)
def test_lines(text: str, lines: list[tuple[str, str]]) -> None:
    assert parse_header_lines(text) == lines
    assert stored_header_lines(text) == lines


@pytest.mark.parametrize(
    "text",
    ["", "\r\n", "X-A", ": 1", "X A: 1", " X-A: 1", "X-A: 1\r\n\r\n", "X-A: 1\r\n folded", "X-A: 1\rX-B: 2", "X-A: \0"],
)
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no header line"):
        parse_header_lines(text)
    stored_header_lines(text)


@given(st.lists(st.text("aA:-\r\n\t \0ü", max_size=12)).map("\r\n".join))
def test_nothing_that_is_read_ends_the_head(text: str) -> None:
    for name, value in stored_header_lines(text):
        assert "\n" not in name + value and "\r" not in name + value


@given(st.text(st.sampled_from("aü\t \r\n\0\x0b\x7f:<>")))
def test_one_line_stays_one(text: str) -> None:
    line = one_line(text)
    assert not set("\r\n\0\x0b\x7f") & set(line)
    assert [char for char in line if char in "aü\t:<>"] == [char for char in text if char in "aü\t:<>"]
    assert parse_header_lines(f"X-A: {line}") == [("X-A", line.strip(" \t"))]
