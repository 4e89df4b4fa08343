"""`sipsilo db`: the tables, and moving messages between databases."""

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
