"""`sipsilo remind`: a message for later, into the database."""

import time
from datetime import datetime
from typing import Annotated

import typer

from sipsilo.cli.options import ConfigOption, DbUrlOption, fail, settings_for_database


def remind(
    to: Annotated[str, typer.Argument(metavar="URI", help="Whom to remind, as in sip:bob@example.org.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Of what.")],
    at: Annotated[str, typer.Option(metavar="TIME", help="When to send it, as in 2026-12-24T18:00.")],
    sender: Annotated[
        str | None,
        typer.Option("--from", metavar="URI", help="Who reminds; else the configured reminder.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    db_url: DbUrlOption = None,
) -> None:
    """Have a message sent at a later time.

    It is written into the configured database, and the servers on it send it at that time; if the user is away then,
    at their next registration. Reminders must be switched on there, by `reminder` and `send_time`. The time is ISO
    8601; without a zone the configured `timezone` is meant, else the system's.

    **Examples**

    ```console
    $ sipsilo remind --config sipsilo.toml --at 2026-12-24T18:00 sip:bob@example.org "Merry Christmas"
    $ sipsilo remind --config sipsilo.toml --at 2026-12-24T18:00+01:00 sip:bob@example.org "Frohe Weihnachten"
    ```
    """
    settings = settings_for_database(config, db_url)
    msilo = settings.msilo
    if msilo.reminder is None or not msilo.send_time:
        lacking = "reminder is not set" if msilo.reminder is None else "send_time is 0"
        fail(
            f"reminders are switched off: {lacking}; accepted: [msilo] with reminder, a SIP URI, and send_time, seconds"
        )
    # SQLAlchemy takes a while to load
    from sipsilo.cli.database import finish, silo_names
    from sipsilo.storage.reminders import ReminderError, add_reminder, make_reminder, parse_send_time

    try:
        send_time = parse_send_time(at, settings.server.zone)
        reminder = make_reminder(
            sender or msilo.reminder,
            to,
            text,
            send_time=send_time,
            now=time.time(),
            lifetime=msilo.expire_time,
        )
        mid = finish(add_reminder(msilo.db_url, silo_names(msilo), reminder, msilo.max_messages))
    except (ReminderError, ValueError) as error:
        fail(f"no reminder: {error}")
    when = datetime.fromtimestamp(send_time, settings.server.zone).astimezone(settings.server.zone)
    print(f"reminder {mid} for {reminder.owner} at {when.isoformat()}")
