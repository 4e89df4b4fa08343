"""Logging: lines for people, on standard error."""

import sys
from contextlib import suppress

import structlog


class _StderrLogger:
    """Writes lines; a standard error that is gone must stop neither a request nor the database's thread."""

    def msg(self, line: str) -> None:
        with suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = exception = msg


def configure_logging() -> None:
    """Say how structlog writes, for the whole process."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            # plain tracebacks: the pretty ones show local variables, and so people's messages
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=lambda *_: _StderrLogger(),
    )
