"""The line of each key in a TOML text."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sipsilo.config.sources import key_lines

TEXT = '''# a comment
title = "x"

[server]   # [not.a.table]
listen = [
    "udp:127.0.0.1:5060",   # ]
    "tcp:127.0.0.1:5060",
]
"node_id" = """
[msilo]
check_time = 1
"""
idle_timeout = 5

[msilo]
db_url = 'sqlite:///silo.db'
nested.key = 1
[a.b]
inline = { x = 1, y = [
  2 ] }
[[list]]
z = 1
'''


def test_finds_each_key() -> None:
    assert key_lines(TEXT) == {
        ("title",): 2,
        ("server",): 4,
        ("server", "listen"): 5,
        ("server", "node_id"): 9,
        ("server", "idle_timeout"): 13,
        ("msilo",): 15,
        ("msilo", "db_url"): 16,
        ("msilo", "nested"): 17,
        ("msilo", "nested", "key"): 17,
        ("a",): 18,
        ("a", "b"): 18,
        ("a", "b", "inline"): 19,
        ("a", "b", "inline", "x"): 19,
        ("a", "b", "inline", "y"): 19,
        ("list",): 21,
        ("list", "z"): 22,
    }


def test_windows_line_ends_count_once() -> None:
    assert key_lines('[server]\r\n\r\nnode_id = "a"\r\n') == {("server",): 1, ("server", "node_id"): 3}


KEY = st.sampled_from(["a", "b", '"c d"', "'['", "listen"])
VALUE = st.sampled_from(["1", '"["', "'''\n[a]\nb = 1\n'''", '[\n1,\n"]",\n]', "{ b = [ 1 ] }", "2026-01-01"])
STATEMENT = st.one_of(
    st.builds("[{}]".format, KEY),
    st.builds("[{}.{}]".format, KEY, KEY),
    st.builds("{} = {}".format, KEY, VALUE),
    st.builds("{}.{} = {}".format, KEY, KEY, VALUE),
    st.sampled_from(["", "# a = 1"]),
)


def paths(data: dict[str, Any], above: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = {(*above, key) for key in data}
    return found.union(*(paths(v, (*above, k)) for k, v in data.items() if isinstance(v, dict)))


@given(st.lists(STATEMENT, max_size=12))
def test_every_key_of_a_valid_text_has_a_line_that_names_it(statements: list[str]) -> None:
    text = "\n".join(statements)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    assert lines.keys() == paths(data)
    for path, number in lines.items():
        assert path[-1] in text.split("\n")[number - 1]
