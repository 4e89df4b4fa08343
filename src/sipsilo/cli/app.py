"""The command line: its subcommands and what `sipsilo --help` says."""

from typing import Annotated

import typer

from sipsilo import __version__
from sipsilo.cli.check import check
from sipsilo.cli.db import app as db
from sipsilo.cli.listen import listen
from sipsilo.cli.remind import remind
from sipsilo.cli.reminders import app as reminders
from sipsilo.cli.run import run
from sipsilo.cli.send import send
from sipsilo.cli.stats import stats

app = typer.Typer(
    name="sipsilo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(check)
app.command()(send)
app.command()(listen)
app.command()(remind)
app.add_typer(reminders)
app.command()(stats)
app.add_typer(db)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"sipsilo {__version__}")
        raise typer.Exit


@app.callback()
def sipsilo(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Keep SIP messages for users who are away, and deliver them when they register.

    **Try it**, in three terminals or one after the other:

    ```console
    $ sipsilo run
    $ sipsilo send --from sip:alice@localhost sip:bob@localhost "Are you there?"
    $ sipsilo listen sip:bob@localhost
    ```
    """


def main() -> None:
    """Run the command line and exit with its code."""
    app(prog_name="sipsilo")
