"""`sipsilo stats`: what the servers have counted, and what is stored."""

import json
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sipsilo.cli.options import ConfigOption, DbUrlOption, settings_for_database

NAMES = ("stored_messages", "dumped_messages", "failed_messages", "dumped_reminders", "failed_reminders")
"""Guide chapter 1.5."""


def stats(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    config: ConfigOption = None,
    db_url: DbUrlOption = None,
) -> None:
    """Print the statistics of the servers on the configured database.

    Each server writes what it has counted since its start; the sum is of all of them. Below that: how many messages
    are stored now, how many reminders are due and not yet sent, and how old the oldest message is, in seconds.

    **Examples**

    ```console
    $ sipsilo stats --config sipsilo.toml
    $ sipsilo stats --config sipsilo.toml --json
    ```
    """
    msilo = settings_for_database(config, db_url).msilo
    # SQLAlchemy takes a while to load
    from sipsilo.cli.database import finish, silo_names
    from sipsilo.storage.figures import read_figures

    now = time.time()
    figures = finish(read_figures(msilo.db_url, silo_names(msilo), now))
    sums = {name: sum(counts.get(name, 0) for counts in figures.counts.values()) for name in NAMES}
    oldest = figures.gauges.oldest
    gauges = {
        "stored": figures.gauges.stored,
        "due_reminders": figures.gauges.due_reminders,
        "oldest_age": None if oldest is None else max(0, int(now) - oldest),
    }
    if as_json:
        print(json.dumps({"nodes": figures.counts, "sum": sums, "now": gauges}, indent=2))
        return
    table = Table("", *map(escape, figures.counts), "sum")
    for name in NAMES:
        each = [str(counts.get(name, 0)) for counts in figures.counts.values()]
        table.add_row(name, *each, str(sums[name]))
    console = Console(highlight=False)
    console.print(table)
    for name, value in gauges.items():
        console.print(f"{name}: {'-' if value is None else value}")
