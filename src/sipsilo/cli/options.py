"""What the subcommands share: the settings for this start, and a word before leaving."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from sipsilo.config import ConfigError, Settings, load_settings

if TYPE_CHECKING:
    from sipsilo.server import Script

ProxyOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Send everything here, as in sip:127.0.0.1:5060;transport=tcp.",
        show_default=False,
    ),
]
TransportOption = Annotated[
    Literal["udp", "tcp"] | None,
    typer.Option(help="How to send it; else as the URI says, or udp.", show_default=False),
]
ScriptOption = Annotated[
    Path | None,
    typer.Option("--script", "-s", metavar="FILE", help="A routing script (Python).", show_default=False),
]


def script_or_exit(path: Path) -> "Script":
    """The routing script of a file; or every mistake in a line of its own, and exit code 1."""
    # Only who has a script needs the server and its libraries.
    from sipsilo.server import ScriptError, load_script

    try:
        return load_script(path)
    except ScriptError as error:
        fail(str(error))


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="The server's configuration file (TOML).", show_default=False),
]
DbUrlOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The database, whatever the configuration says.", show_default=False),
]


def settings_for_database(config: Path | None, db_url: str | None) -> Settings:
    """The settings with the database that is meant; or every mistake, and exit code 1."""
    return settings_or_exit(config, {} if db_url is None else {"--db-url": db_url})


def settings_or_exit(path: Path | None, flags: Mapping[str, str | Sequence[str]]) -> Settings:
    """The settings of file, environment and flags; or every mistake in a line of its own, and exit code 1."""
    try:
        return load_settings(path, os.environ, flags)
    except ConfigError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say why on stderr and leave with exit code 1."""
    print(message, file=sys.stderr)
    raise typer.Exit(1)
