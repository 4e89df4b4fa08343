"""What a script writes to the server's log."""

from typing import Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]

_log = structlog.get_logger("script")


def note(text: str, level: Level, **details: str) -> None:
    """Write a line."""
    if level == "error":
        _log.error(text, **details)
    elif level == "warning":
        _log.warning(text, **details)
    elif level == "info":
        _log.info(text, **details)
    else:
        _log.debug(text, **details)
