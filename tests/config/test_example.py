"""The example file: it works, and it names every setting with its default."""

import re
import tomllib
from pathlib import Path

from sipsilo.config import Settings, load_settings
from sipsilo.config.settings import PARAMETERS

EXAMPLE = Path(__file__).parents[2] / "examples" / "sipsilo.toml"


def test_the_example_is_valid_and_says_the_defaults(tmp_path: Path) -> None:
    copy = tmp_path / "sipsilo.toml"
    copy.write_text(EXAMPLE.read_text())
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert load_settings(copy, {}, {}) == load_settings(empty, {}, {})


def test_the_example_names_every_setting_and_its_default() -> None:
    text = EXAMPLE.read_text()
    said = tomllib.loads(text)
    # A setting without a default value stands there as a comment: TOML has no None.
    commented = set(re.findall(r"^# ([a-z_]+) = ", text, re.MULTILINE))
    defaults = Settings()
    for section, name in PARAMETERS:
        default = getattr(getattr(defaults, section), name)
        if default is None:
            assert name in commented
        else:
            assert name in said[section], f"{section}.{name} is missing"
        if isinstance(default, str | int | float):
            assert said[section][name] == default
