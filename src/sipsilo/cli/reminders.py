"""`sipsilo reminders`: those that wait."""

import json
from datetime import datetime, tzinfo
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sipsilo.cli.options import ConfigOption, DbUrlOption, fail, settings_for_database
from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import Aor, parse_uri

app = typer.Typer(
    name="reminders", no_args_is_help=True, rich_markup_mode="markdown", help="List and cancel reminders that wait."
)


@app.command("list")
def list_(
    owner: Annotated[
        str | None, typer.Option(metavar="URI", help="Only those for this user.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    config: ConfigOption = None,
    db_url: DbUrlOption = None,
) -> None:
    """List the reminders that wait, the next one first.

    **Examples**

    ```console
    $ sipsilo reminders list --config sipsilo.toml
    $ sipsilo reminders list --config sipsilo.toml --owner sip:bob@example.org --json
    ```
    """
    settings = settings_for_database(config, db_url)
    user = None if owner is None else _aor(owner)
    # SQLAlchemy takes a while to load
    from sipsilo.cli.database import finish, silo_names
    from sipsilo.storage.reminders import list_reminders

    found = finish(list_reminders(settings.msilo.db_url, silo_names(settings.msilo), user))
    zone = settings.server.zone
    if as_json:
        rows = [
            {
                "id": each.mid,
                "at": _moment(each.send_time, zone),
                "to": each.to,
                "owner": str(each.owner),
                "text": each.body.decode("utf-8", "replace"),
            }
            for each in found
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table("ID", "at", "to", "text")
    for each in found:
        text = each.body.decode("utf-8", "replace")
        table.add_row(str(each.mid), _moment(each.send_time, zone), escape(each.to), escape(text))
    Console(highlight=False).print(table if found else "no reminders")


@app.command()
def cancel(
    ids: Annotated[list[int], typer.Argument(metavar="ID…", help="Their numbers, as `reminders list` shows them.")],
    config: ConfigOption = None,
    db_url: DbUrlOption = None,
) -> None:
    """Delete reminders that wait; exit code 1 if one of them is none, or was sent already.

    **Example**

    ```console
    $ sipsilo reminders cancel --config sipsilo.toml 17 18
    ```
    """
    settings = settings_for_database(config, db_url)
    from sipsilo.cli.database import finish, silo_names
    from sipsilo.storage.reminders import cancel_reminders

    missing = finish(cancel_reminders(settings.msilo.db_url, silo_names(settings.msilo), ids))
    for mid in ids:
        if mid not in missing:
            print(f"reminder {mid}: cancelled")
    if missing:
        fail("\n".join(f"reminder {mid}: there is none" for mid in missing))


def _aor(text: str) -> Aor:
    try:
        aor = parse_uri(text).aor
    except SipError:
        aor = None
    if aor is None:
        fail(f"{text!r} names no user, as sip:bob@example.org does")
    return aor


def _moment(seconds: int, zone: tzinfo | None) -> str:
    return datetime.fromtimestamp(seconds, zone).astimezone(zone).isoformat()
