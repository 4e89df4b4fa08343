"""`sipsilo run`: the server."""

from pathlib import Path
from typing import Annotated

import typer

from sipsilo.cli.options import ScriptOption, script_or_exit, settings_or_exit


def run(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="A configuration file (TOML).")
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDRESS", help="Listen here: udp:HOST:PORT or tcp:HOST:PORT. Repeatable."),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Serve the users of this host. Repeatable."),
    ] = None,
    db_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Keep messages and bindings here: sqlite:///FILE.")
    ] = None,
    script: ScriptOption = None,
) -> None:
    """Start the server, until Ctrl-C or SIGTERM.

    Without a configuration file it listens on UDP and TCP at 127.0.0.1:5060, serves whatever host it is
    asked for, and keeps its data in silo.db in the working directory. Every setting can also come from a
    variable such as SIPSILO_MSILO__DB_URL; flags go over variables, variables over the file.

    What becomes of requests is the built-in route's business, or a script's of your own (docs/scripts.md).

    **Examples**

    ```console
    $ sipsilo run
    $ sipsilo run --config sipsilo.toml
    $ sipsilo run --script routes.py
    $ sipsilo run --listen udp:0.0.0.0:5060 --listen tcp:0.0.0.0:5060 --domain example.org
    ```
    """
    given = {"--listen": listen, "--domain": domain, "--db-url": db_url}
    settings = settings_or_exit(config, {flag: value for flag, value in given.items() if value})
    # Only this subcommand needs the server and its libraries; the others start without them.
    from sipsilo.server import run as serve

    raise typer.Exit(serve(settings, None if script is None else script_or_exit(script)))
