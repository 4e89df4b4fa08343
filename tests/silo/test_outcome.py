"""What a final response means for a message, and when it is worth while to try again."""

import pytest

from sipsilo.silo.message import NEVER
from sipsilo.silo.outcome import Verdict, failed_attempt, judge
from sipsilo.sip.message import Response
from tests.silo.samples import message

NOW = 1_795_000_000.5


def response(status: int, retry_after: str | None = None) -> Response:
    headers = [] if retry_after is None else [("Retry-After", retry_after)]
    return message().response(status, headers=headers)


ABOUT_THE_MESSAGE = {400, 406, 413, 414, 415, 416, 420, 421, 488, 493, 494, 513}


@pytest.mark.parametrize("status", [*range(200, 205), *range(300, 306), 380, *range(400, 700)])
def test_verdict(status: int) -> None:
    if status < 300:
        expected = Verdict.DELIVERED
    elif status >= 600 or status in ABOUT_THE_MESSAGE:
        expected = Verdict.REFUSED
    else:
        expected = Verdict.UNREACHABLE
    assert judge(response(status)) is expected


@pytest.mark.parametrize(
    ("before", "seconds"),
    [(0, 30), (1, 60), (2, 120), (5, 960), (6, 1920), (7, 3600), (8, 3600), (100, 3600), (10**6, 3600)],
)
def test_back_off_doubles_from_30_seconds_to_an_hour(before: int, seconds: int) -> None:
    attempts = [failed_attempt(response(480), before, NOW) for _ in range(200)]
    assert {attempt.number for attempt in attempts} == {before + 1}
    assert {attempt.status for attempt in attempts} == {480}
    waits = [attempt.next_try - NOW for attempt in attempts]
    assert seconds <= min(waits) <= max(waits) <= seconds * 1.25 + 1
    # with jitter: those who failed together are not tried together
    assert max(waits) - min(waits) > seconds * 0.15


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("18000", 18_000),
        ("18000 (in a meeting)", 18_000),
        ("18000;duration=3600", 18_000),
        ("18000 ( x );duration=3600", 18_000),
        ("10", 30),
        ("0", 30),
        ("soon", 30),
        ("-18000", 30),
        ("", 30),
        # a day is the most that a phone can ask for
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 30, 86_400),
    ],
)
def test_retry_after_is_honoured(text: str, seconds: int) -> None:
    wait = failed_attempt(response(503, text), 0, NOW).next_try - NOW
    assert seconds <= wait <= max(seconds, 30 * 1.25) + 1


@pytest.mark.parametrize("status", [600, 603, 604, 606, 699])
def test_6xx_is_never_tried_again(status: int) -> None:
    assert failed_attempt(response(status, "10"), 0, NOW) == (1, NEVER, status)
