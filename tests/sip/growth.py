"""How the cost of something grows with the size of its input.

The cost is the CPU time of this thread, so other programs on the machine hardly count. For an input 16
times as large, linear work costs 16 times as much and quadratic work 256 times; the limit of 64 lies far
from both. A single bad measurement proves nothing, so only the smallest of several counts.
"""

import gc
from collections.abc import Callable
from time import thread_time
from typing import TypeVar

from sipsilo.sip.headers import parse_cseq, parse_media_type
from sipsilo.sip.uri import parse_uri

FACTOR = 16
LIMIT = 64
NOISE = 50e-6  # seconds of CPU that say nothing yet

Input = TypeVar("Input")


def grows_linearly(run: Callable[[Input], object], build: Callable[[int], Input], size: int) -> bool:
    """Compare `run` on an input of `size` with one 16 times as large."""
    small, large = build(size), build(size * FACTOR)
    gc.disable()
    try:
        base = max(NOISE, min(_cost(run, small) for _ in range(5)))
        for _ in range(3):
            ratio = _cost(run, large) / base
            if ratio < LIMIT or ratio > 2 * LIMIT:  # no noise is as large as that
                break
        return ratio < LIMIT
    finally:
        gc.enable()


def _cost(run: Callable[[Input], object], value: Input) -> float:
    for remembered in (parse_uri, parse_cseq, parse_media_type):
        remembered.cache_clear()
    start = thread_time()
    run(value)
    return thread_time() - start
