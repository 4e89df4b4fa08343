"""docs/parameters.md: every parameter, its default, and a test that exists."""

import json
import re
from pathlib import Path

import pytest

from sipsilo.config import Settings
from sipsilo.config.settings import PARAMETERS, Name

ROOT = Path(__file__).parents[2]


def rows() -> dict[Name, tuple[str, str]]:
    """Each parameter's default and tests, as the page says them."""
    found: dict[Name, tuple[str, str]] = {}
    section = ""
    for line in (ROOT / "docs" / "parameters.md").read_text().splitlines():
        if line.startswith("## ["):
            section = line[4:].rstrip("]")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            name, _, default, _, tests = cells
            assert (section, name.strip("`")) not in found
            found[section, name.strip("`")] = default.strip("`"), tests
    return found


ROWS = rows()


def test_page_has_every_parameter_and_no_other() -> None:
    assert ROWS.keys() == PARAMETERS.keys()


@pytest.mark.parametrize("name", ROWS, ids=".".join)
def test_default_is_the_true_one(name: Name) -> None:
    section, parameter = name
    default = getattr(getattr(Settings(), section), parameter)
    if isinstance(default, tuple):
        expected = json.dumps([str(each) for each in default])
    elif isinstance(default, bool | float):
        expected = f"{default:g}"
    else:
        expected = "none" if default is None else str(default)
    assert ROWS[name][0] == expected


@pytest.mark.parametrize("name", ROWS, ids=".".join)
def test_tests_that_it_names_exist(name: Name) -> None:
    tests = ROWS[name][1].split(", ")
    for test in tests:
        path, function = test.split("::")
        source = (ROOT / path).read_text()
        assert re.search(rf"^def {function}\(", source, re.M), f"{test} does not exist"
