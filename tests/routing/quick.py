"""Transactions whose timers are fifty times as short, for what must wait for one to run out."""

import pytest

from sipsilo.transaction.layer import Transactions
from sipsilo.transaction.timers import TimerValues

_VALUES = TimerValues(t1=0.01, t2=0.08, t4=0.1)


def make_transactions_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give them to every endpoint that is opened from now on."""
    monkeypatch.setattr("sipsilo.endpoint.Transactions", lambda _, limit: Transactions(_VALUES, limit=limit))
