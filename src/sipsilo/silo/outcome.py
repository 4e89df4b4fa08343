"""What a final response to a delivered MESSAGE means for the message and for those behind it."""

import random
from enum import Enum, auto

from sipsilo.silo.message import NEVER, Attempt
from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import parse_number
from sipsilo.sip.message import Response

FIRST_DELAY = 30.0
LONGEST_DELAY = 3600.0
JITTER = 0.25
"""Retries come after 30 s, doubling to 1 h (SPEC.md chapter 4), and up to a quarter later, so that the
phones of a site that was down are not all tried at once."""

LONGEST_RETRY_AFTER = 86_400

# These say that this message cannot be taken; the next one may be.
_ABOUT_THE_MESSAGE = frozenset((400, 406, 413, 414, 415, 416, 420, 421, 488, 493, 494, 513))


class Verdict(Enum):
    """What becomes of a message."""

    DELIVERED = auto()
    REFUSED = auto()
    """Kept; those behind it go on."""
    UNREACHABLE = auto()
    """Kept, with all those behind it."""


def judge(response: Response) -> Verdict:
    """What a final response means. A timeout comes as a 408, a transport error as a 503 (§8.1.3.1)."""
    if response.status < 300:
        return Verdict.DELIVERED
    return Verdict.REFUSED if is_about_the_message(response.status) else Verdict.UNREACHABLE


def is_about_the_message(status: int) -> bool:
    """Whether a failure says something of this message only, nothing of those behind it."""
    return status in _ABOUT_THE_MESSAGE or status >= 600


def failed_attempt(response: Response, attempts_before: int, now: float) -> Attempt:
    """The record of an attempt that failed: when it is worth while to try again."""
    number = attempts_before + 1
    if response.status >= 600:
        return Attempt(number, NEVER, response.status)  # §21.6: it will fail everywhere and again
    delay = min(FIRST_DELAY * 2 ** min(attempts_before, 16), LONGEST_DELAY)
    delay *= 1 + random.random() * JITTER
    return Attempt(number, int(now + max(delay, _retry_after(response))) + 1, response.status)


def _retry_after(response: Response) -> int:
    """§20.33: seconds, with an optional comment and parameters behind them."""
    text = (response.get("retry-after") or "0").partition("(")[0].partition(";")[0].strip()
    try:
        return parse_number(text, "Retry-After", LONGEST_RETRY_AFTER)
    except SipError:
        return 0
