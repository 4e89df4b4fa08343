"""Where settings come from: a TOML file, environment variables, flags; what each holds, and where."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sipsilo.config.errors import Mistake
from sipsilo.config.settings import PARAMETERS, SECTIONS, Name

PREFIX = "SIPSILO_"

FLAGS: dict[str, Name] = {
    "--listen": ("server", "listen"),
    "--domain": ("server", "domains"),
    "--db-url": ("msilo", "db_url"),
}

_TOML_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One parameter as a source gives it: `where` to find it, and where a relative path in it starts.

    `strict`: the value has a type of its own (TOML), so that "5" is no number.
    """

    name: Name
    value: object
    where: str
    base: Path
    strict: bool = False


def flag_entries(flags: Mapping[str, str | Sequence[str]]) -> list[Entry | Mistake]:
    """The flags that were given, by their names with dashes (see FLAGS)."""
    return [Entry(FLAGS[flag], value, flag, Path.cwd()) for flag, value in flags.items()]


def environment_entries(environ: Mapping[str, str]) -> list[Entry | Mistake]:
    """SIPSILO_SECTION__NAME variables; a mistake for each unknown one."""
    found: list[Entry | Mistake] = []
    for variable, value in environ.items():
        if not variable.startswith(PREFIX):
            continue
        section, underscores, name = variable.removeprefix(PREFIX).lower().partition("__")
        if (section, name) in PARAMETERS:
            found.append(Entry((section, name), value, variable, Path.cwd()))
        elif underscores:
            found.append(Mistake(variable, f"unknown parameter{_nearest(section, name, _variable)}"))
        elif section in _SINGLE:
            # Other SIPSILO_… are not ours to judge: Kubernetes sets SIPSILO_SERVICE_HOST and the like.
            meant = _variable(_SINGLE[section])
            found.append(Mistake(variable, f"unknown parameter; did you mean {meant}?"))
    return found


def file_entries(path: Path) -> list[Entry | Mistake]:
    """The parameters of a TOML file; a mistake for what is none, only one when it cannot be read at all."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        return [Mistake(str(path), f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return [Mistake(f"{path}:{line}", "not UTF-8, as TOML must be")]
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [_syntax_mistake(path, text, str(error))]
    lines = key_lines(text)
    return [item for section in data for item in _section_entries(path, lines, section, data[section])]


def _section_entries(
    path: Path, lines: Mapping[tuple[str, ...], int], section: str, table: object
) -> Iterator[Entry | Mistake]:
    place = f"{path}:{lines[(section,)]}"
    if not isinstance(table, dict):
        yield Mistake(place, _not_a_section(section))
        return
    if section not in SECTIONS:
        near = "".join(f"; did you mean [{name}]?" for name in get_close_matches(section, SECTIONS, 1))
        yield Mistake(place, f"unknown section [{section}]{near}")
        return
    for name, value in table.items():
        where = f"{path}:{lines[section, name]}: {section}.{name}"
        if (section, name) in PARAMETERS:
            yield Entry((section, name), value, where, path.absolute().parent, strict=True)
        else:
            yield Mistake(where, f"unknown parameter{_nearest(section, name, '.'.join)}")


def _syntax_mistake(path: Path, text: str, message: str) -> Mistake:
    match = _TOML_LINE.search(message)
    line = match[1] if match and match[1] else str(len(text.splitlines()) or 1)
    return Mistake(f"{path}:{line}", f"not TOML: {_TOML_LINE.sub('', message)}")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line, from 1, on which each table and key of a valid TOML text begins.

    tomllib tells no lines, but tells where a statement ends: as soon as its lines are TOML by themselves.
    """
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    statement, begin = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        if not statement:
            begin = number
        statement += line + "\n"
        try:
            data = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        is_header = statement.lstrip().startswith("[")
        for path in _paths(data, () if is_header else table):
            lines.setdefault(path, begin)
            if is_header:
                table = path  # the last one is the longest: `[a.b]` alone is {"a": {"b": {}}}
        statement = ""
    return lines


def _paths(data: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in data.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


def _variable(name: Name) -> str:
    return f"{PREFIX}{'__'.join(name)}".upper()


_SINGLE = {"_".join(name): name for name in PARAMETERS}


def _not_a_section(key: str) -> str:
    if key in SECTIONS:
        return f"{key} is a section; accepted: [{key}] on a line of its own, its parameters below it"
    return f"unknown parameter {key}{_nearest('', key, '.'.join)}"


def _nearest(section: str, name: str, spell: Callable[[Name], str]) -> str:
    """What was probably meant: a like name in this section, else in another."""
    for own in (True, False):
        names = {known: of for of, known in PARAMETERS if (of == section) is own}
        for match in get_close_matches(name, names, 1):
            return f"; did you mean {spell((names[match], match))}?"
    return ""
