"""Event loops for tests: the server's own, and one on which waiting takes no time."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import uvloop

Result = TypeVar("Result")

START = 1_795_000_000.0
"""Unix time at which virtual time begins; loop time begins at 0."""


def run(work: Coroutine[Any, Any, Result], within: float = 20) -> Result:
    """Run a scenario on uvloop as the server does; what goes wrong unseen in the loop fails it too."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_watched(work, within))


def run_in_virtual_time(work: Coroutine[Any, Any, Result], monkeypatch: pytest.MonkeyPatch) -> Result:
    """Run a scenario without sockets and threads, in which an hour of waiting passes at once.

    `time.time` follows the loop's clock.
    """
    loop = _VirtualLoop()
    monkeypatch.setattr("time.time", lambda: START + loop.time())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(_watched(work, 1e6))


async def _watched(work: Coroutine[Any, Any, Result], within: float) -> Result:
    problems: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    async with asyncio.timeout(within):
        result = await work
    assert not problems
    return result


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class _JumpingSelector(selectors.SelectSelector):
    """Where another selector would sleep, the clock is put forward."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and nothing will happen"
        self.now += max(0.0, timeout)
        return super().select(0)
