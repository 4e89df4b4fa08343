"""`sipsilo db`: the tables, and moving messages between databases."""

from typing import Annotated

import typer

from sipsilo.cli.options import ConfigOption, DbUrlOption, settings_for_database

app = typer.Typer(
    name="db",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Make, upgrade and check the database; move messages between databases.",
)


@app.command()
def init(config: ConfigOption = None, db_url: DbUrlOption = None) -> None:
    """Make the tables in a database that has none of them yet.

    The database itself must be there (`CREATE DATABASE`); a SQLite file is made.

    **Examples**

    ```console
    $ sipsilo db init --config sipsilo.toml
    $ sipsilo db init --db-url mysql://opensips:opensipsrw@localhost/opensips
    ```
    """
    settings = settings_for_database(config, db_url)
    from sipsilo.cli import database

    database.init(settings.msilo)


@app.command()
def upgrade(config: ConfigOption = None, db_url: DbUrlOption = None) -> None:
    """Give existing tables what this sipsilo needs, and say what that was.

    Takes tables of an older sipsilo, and a silo made by the SQL of OpenSIPS or Kamailio: that gets the columns and
    indexes that it lacks, columns for Content-Type and Call-ID that are too narrow are widened, and nothing else of
    it is changed, so that its own program goes on working.

    **Example**

    ```console
    $ sipsilo db upgrade --config sipsilo.toml
    ```
    """
    settings = settings_for_database(config, db_url)
    from sipsilo.cli import database

    database.upgrade(settings.msilo)


@app.command()
def check(config: ConfigOption = None, db_url: DbUrlOption = None) -> None:
    """Say what the tables lack, and which command mends it; exit code 1 if they lack anything.

    **Example**

    ```console
    $ sipsilo db check --config sipsilo.toml
    ```
    """
    settings = settings_for_database(config, db_url)
    from sipsilo.cli import database

    database.check(settings.msilo)


AgainOption = Annotated[
    bool, typer.Option("--again", help="Copy all there is, also what this command has copied before.")
]


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="URL_OR_DIRECTORY", help="Where the messages are.")],
    config: ConfigOption = None,
    db_url: DbUrlOption = None,
    again: AgainOption = False,
) -> None:
    """Copy the messages of another database into the configured one.

    The other is `mysql://…`, `postgres://…`, `sqlite:///FILE`, made by sipsilo, OpenSIPS or Kamailio, with its table
    and columns under their usual names; or a directory of dbtext files, `text:///DIRECTORY`. It is only read.

    Messages keep their order and get new numbers. One that does not fit a column is told and not copied, none is cut.
    Interrupted, or typed again later, the same command copies what it has not copied yet. The exit code is 1 when a
    message was not copied or the counts do not agree at the end.

    **Examples**

    ```console
    $ sipsilo db import text:///var/lib/opensips/dbtext --config sipsilo.toml
    $ sipsilo db import sqlite:///silo.db --db-url mysql://opensips:opensipsrw@localhost/opensips
    ```
    """
    settings = settings_for_database(config, db_url)
    from sipsilo.cli import transfer

    transfer.import_(settings.msilo, source, again=again)


@app.command()
def export(
    target: Annotated[str, typer.Argument(metavar="URL_OR_DIRECTORY", help="Where the messages shall be.")],
    config: ConfigOption = None,
    db_url: DbUrlOption = None,
    again: AgainOption = False,
) -> None:
    """Copy the messages of the configured database into another, or into dbtext files.

    The same as `import` the other way round. Another database needs its tables first (`sipsilo db init`); a SQLite
    file and a directory are made.

    **Examples**

    ```console
    $ sipsilo db export sqlite:///copy.db --config sipsilo.toml
    $ sipsilo db export text:///tmp/dbtext --config sipsilo.toml
    ```
    """
    settings = settings_for_database(config, db_url)
    from sipsilo.cli import transfer

    transfer.export(settings.msilo, target, again=again)
