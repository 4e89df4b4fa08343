"""Reminders: when one is to be sent (guide chapter 1.3.24, snd_time_avp)."""

import re
from datetime import datetime, tzinfo

_COMPACT = re.compile(r"[0-9]{14}\Z")


def parse_send_time(value: object, zone: tzinfo | None) -> int:
    """The Unix time that a script has set: YYYYMMDDHHMMSS, or ISO 8601 with a date and a time.

    `zone` is meant where the value names none; None for the system's. Raises ValueError that says what is wrong.
    """
    text = str(value).strip()
    try:
        if _COMPACT.match(text):
            moment = datetime.strptime(text, "%Y%m%d%H%M%S")
        elif "T" in text.upper() or " " in text:
            moment = datetime.fromisoformat(text)
        else:
            raise ValueError("a date without a time")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is no time such as 20261224180000 or 2026-12-24T18:00:00+01:00") from None
    if seconds <= 0:
        raise ValueError(f"{text!r} is before 1970")
    return seconds
