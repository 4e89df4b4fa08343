"""From all sources to one Settings: flag over environment over file over default."""

import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sipsilo.config.errors import ConfigError, Mistake
from sipsilo.config.settings import COLUMN_PARAMETERS, OWN_COLUMNS, PARAMETERS, SECTIONS, Msilo, Name, Settings
from sipsilo.config.sources import Entry, environment_entries, file_entries, flag_entries

_DB_URL = ("msilo", "db_url")


def load_settings(path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str | Sequence[str]]) -> Settings:
    """Read all settings.

    `path`: the TOML file, if any. `environ`: variables, of which SIPSILO_SECTION__NAME are read. `flags`:
    those that were given, such as {"--listen": ["udp:127.0.0.1:5060"], "--db-url": "sqlite:///silo.db"}.
    A relative db_url starts from the file's directory where the file or the default says it, else from the
    working directory. Raises ConfigError with every mistake of all sources.
    """
    found = file_entries(path) if path is not None else []
    found += environment_entries(environ)
    found += flag_entries(flags)

    mistakes: list[Mistake] = []
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    chosen: dict[Name, Entry] = {}
    doubtful: set[Name] = set()
    for item in found:
        if isinstance(item, Mistake):
            mistakes.append(item)
            continue
        chosen[item.name] = item
        section, name = item.name
        try:
            values[section][name] = PARAMETERS[item.name].reader.validate_python(item.value, strict=item.strict)
        except ValidationError as error:
            doubtful.add(item.name)
            mistakes += [_mistake(item, details) for details in error.errors()]
    settings = Settings(**{section: cls(**values[section]) for section, cls in SECTIONS.items()})

    for names, problem in (*_contradictions(settings), *_silo_contradictions(settings.msilo)):
        if doubtful.isdisjoint(names):
            place = next(chosen[name] for name in names if name in chosen)
            mistakes.append(Mistake(place.where, problem))
    if mistakes:
        raise ConfigError(mistakes)
    base = path.absolute().parent if path is not None else Path.cwd()
    return _with_absolute_db_url(settings, chosen[_DB_URL].base if _DB_URL in chosen else base)


def _contradictions(settings: Settings) -> Iterator[tuple[tuple[Name, ...], str]]:
    """Values that are right by themselves and wrong together: whose they are, and what is accepted."""
    server, registrar = settings.server, settings.registrar
    listen: Name = ("server", "listen")
    outside = [str(address) for address in server.listen if not address.is_loopback]
    if outside and not server.domains:
        problem = f"{outside[0]} can be reached from outside, while server.domains is empty"
        yield (
            (listen, ("server", "domains")),
            f'{problem}; accepted: server.domains with the hosts that we serve, such as ["example.org"]',
        )
    twice = {str(address) for address in server.listen if address.port and server.listen.count(address) > 1}
    if twice:
        yield (listen,), f"{', '.join(sorted(twice))} twice; accepted: each address once"
    least, usual, most = registrar.min_expires, registrar.default_expires, registrar.max_expires
    if not least <= usual <= most:
        yield (
            (("registrar", "default_expires"), ("registrar", "min_expires"), ("registrar", "max_expires")),
            f"default_expires is {usual}; accepted: from min_expires, {least}, to max_expires, {most}",
        )


def _silo_contradictions(msilo: Msilo) -> Iterator[tuple[tuple[Name, ...], str]]:
    """The same of what the silo's parameters say of notices, tables and columns."""
    if msilo.offline_message is not None and msilo.content_type_hdr is None:
        yield (
            (("msilo", "offline_message"),),
            "set without content_type_hdr;"
            r' accepted: with msilo.content_type_hdr, such as "Content-Type: text/plain\r\n"',
        )
    if msilo.db_table.lower().startswith("sipsilo_"):
        yield (("msilo", "db_table"),), f"{msilo.db_table} is a name that our own tables have; accepted: another one"
    taken: dict[str, str] = {}
    for name in COLUMN_PARAMETERS:
        column = msilo.columns[name].lower()  # case makes no difference to most databases
        if column in OWN_COLUMNS:
            yield (("msilo", name),), f"{column} is a column of our own; accepted: another name"
        elif column in taken:
            names: tuple[Name, ...] = (("msilo", name), ("msilo", taken[column]))
            yield names, f"{name} and {taken[column]} are both {column}; accepted: a column of its own for each"
        taken.setdefault(column, name)


def _with_absolute_db_url(settings: Settings, base: Path) -> Settings:
    scheme, _, file = settings.msilo.db_url.partition(":///")
    if scheme != "sqlite":
        return settings
    file = os.path.abspath(base / file)
    return replace(settings, msilo=replace(settings.msilo, db_url=f"sqlite:///{file}"))


def _mistake(entry: Entry, error: ErrorDetails) -> Mistake:
    return Mistake(entry.where, f"{_problem(error)}; accepted: {PARAMETERS[entry.name].accepted}")


_PROBLEMS = {
    "bool": "is neither 0 nor 1",
    "finite": "is not a number",
    "float": "is not a number",
    "greater": "is out of range",
    "int": "is not a whole number",
    "less": "is out of range",
    "string": "is not a text of that kind",
    "too": "is empty",
}
"""What pydantic's error types, by their first word, say about a value."""


def _problem(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{_shown(error['input'])} {_PROBLEMS[error['type'].partition('_')[0]]}"


def _shown(value: object) -> str:
    """A value as its author knows it, in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (datetime.date, datetime.time)):
        return str(value)
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 80 else f"{text[:80]}…"
