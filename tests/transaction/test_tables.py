"""Every row of the four tables, as a story with times."""

import pytest

from sipsilo.transaction import client, server
from sipsilo.transaction.layer import Transactions
from sipsilo.transaction.machine import Transaction
from sipsilo.transaction.tables import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Event,
    State,
    Step,
    Table,
)
from tests.transaction.timeline import ClientSide, ServerSide, Timeline, play

UDP, TCP = False, True

Case = tuple[str, bool, Timeline]

# Each entry of a story is (time, what happens). What has "<event> → <outcome>" is done to the layer, the rest
# is the work of timers.
SERVER: list[Case] = [
    # §17.2.2 figure 8; RFC 4320
    (
        "MESSAGE",
        UDP,
        [
            (0, "MESSAGE → new"),
            (0.1, "202 → send 202"),
            (0.5, "MESSAGE → send 202"),
            (31.9, "MESSAGE → send 202"),
            (33, "MESSAGE → new"),  # Timer J has fired
            (33, "202 → send 202"),
        ],
    ),
    (
        "MESSAGE",
        UDP,
        [
            (0, "MESSAGE → new"),
            (0.5, "MESSAGE → absorbed"),
            (3.5, "send 100"),
            (3.6, "MESSAGE → send 100"),
            (5, "200 → send 200"),
            (6, "MESSAGE → send 200"),
            (6, "200 → refused"),
            (36.9, "MESSAGE → send 200"),
            (37.1, "MESSAGE → new"),
            (37.1, "200 → send 200"),
        ],
    ),
    (
        "MESSAGE",
        UDP,
        [
            (0, "MESSAGE → new"),
            (3.5, "send 100"),
            (32, "ended"),  # no 408: RFC 4320 §4.2
            (33, "200 → too late"),
        ],
    ),
    (
        "MESSAGE",
        TCP,
        [
            (0, "MESSAGE → new"),
            (1, "202 → send 202"),
            (1, "202 → refused"),
            (1, "MESSAGE → new"),  # Timer J is 0
            (4.5, "send 100"),
            (33, "ended"),
            (33, "202 → too late"),
        ],
    ),
    (
        "MESSAGE",
        UDP,
        [
            (0, "MESSAGE → new"),
            (1, "100 → refused"),  # RFC 4320 §4.1
            (1, "180 → refused"),
            (1, "408 → refused"),  # RFC 4320 §4.2
            (1, "600 → send 600"),
        ],
    ),
    # §17.2.1 figure 7; RFC 6026 §7.1
    (
        "INVITE",
        UDP,
        [
            (0, "INVITE → new"),
            (0.1, "INVITE → absorbed"),
            (0.2, "send 100"),
            (0.5, "INVITE → send 100"),
            (1, "180 → send 180"),
            (1.5, "INVITE → send 180"),
            (2, "183 → send 183"),
            (2, "ACK → absorbed"),
            (3, "486 → send 486"),
            (3.5, "send 486"),
            (4.5, "send 486"),
            (5, "INVITE → send 486"),
            (6.5, "send 486"),
            (7, "ACK → absorbed"),
            (8, "ACK → absorbed"),
            (8, "INVITE → absorbed"),
            (8, "486 → refused"),
            (12, "ended"),
        ],
    ),
    (
        "INVITE",
        UDP,
        [
            (0, "INVITE → new"),
            (0, "500 → send 500"),
            *((at, "send 500") for at in (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)),
            (32, "timed out"),
            (33, "ACK → ack"),
        ],
    ),
    (
        "INVITE",
        UDP,
        [
            (0, "INVITE → new"),
            (0.1, "180 → send 180"),
            (5, "200 → send 200"),
            (6, "200 → send 200"),  # the TU sends it again
            (6, "INVITE → absorbed"),
            (6, "486 → refused"),
            (6, "ACK → ack"),
            (37, "ended"),
        ],
    ),
    ("INVITE", UDP, [(0, "INVITE → new"), (0.1, "200 → send 200"), (32.1, "ended")]),
    (
        "INVITE",
        TCP,
        [
            (0, "INVITE → new"),
            (0.1, "404 → send 404"),
            (1, "ACK → absorbed"),
            (1, "ACK → ack"),  # Timer I is 0
        ],
    ),
    ("INVITE", TCP, [(0, "INVITE → new"), (0.1, "404 → send 404"), (32.1, "timed out")]),
]

CLIENT: list[Case] = [
    # §17.1.2 figure 6
    (
        "MESSAGE",
        UDP,
        [
            (0, "MESSAGE → sent"),
            *((at, "send MESSAGE") for at in (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)),
            (32, "timed out"),
            (32, "200 → unmatched"),
        ],
    ),
    (
        "MESSAGE",
        UDP,
        [
            (0, "MESSAGE → sent"),
            (0.5, "send MESSAGE"),
            (0.6, "100 → passed up"),
            (0.7, "100 → passed up"),
            (1.5, "send MESSAGE"),
            (5.5, "send MESSAGE"),  # T2 from now on
            (9.5, "send MESSAGE"),
            (10, "200 → passed up"),
            (10.1, "200 → absorbed"),
            (14.9, "100 → absorbed"),
            (15.1, "200 → unmatched"),  # Timer K has fired
        ],
    ),
    (
        "MESSAGE",
        UDP,
        [
            (0, "MESSAGE → sent"),
            (0.1, "100 → passed up"),
            *((at, "send MESSAGE") for at in (0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5)),
            (32, "timed out"),
            (32, "broken → no matter"),
        ],
    ),
    (
        "MESSAGE",
        TCP,
        [(0, "MESSAGE → sent"), (1, "202 → passed up"), (1, "202 → unmatched"), (1, "broken → no matter")],
    ),
    ("MESSAGE", TCP, [(0, "MESSAGE → sent"), (32, "timed out")]),
    ("MESSAGE", TCP, [(0, "MESSAGE → sent"), (0, "broken → failed"), (1, "200 → unmatched")]),
    ("MESSAGE", TCP, [(0, "MESSAGE → sent"), (3, "100 → passed up"), (4, "broken → failed")]),
    ("MESSAGE", UDP, [(0, "MESSAGE → sent"), (0, "486 → passed up"), (1, "broken → no matter")]),
    # §17.1.1 figure 5; RFC 6026 §7.2
    (
        "INVITE",
        UDP,
        [
            (0, "INVITE → sent"),
            *((at, "send INVITE") for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)),
            (32, "timed out"),
        ],
    ),
    (
        "INVITE",
        UDP,
        [
            (0, "INVITE → sent"),
            (0.5, "send INVITE"),
            (1, "100 → passed up"),
            (2, "180 → passed up"),
            (100, "486 → ACK, passed up"),
            (101, "486 → ACK"),
            (101, "180 → absorbed"),
            (101, "200 → absorbed"),
            (132, "ended"),
            (133, "486 → unmatched"),
        ],
    ),
    ("INVITE", UDP, [(0, "INVITE → sent"), (0.1, "503 → ACK, passed up"), (1, "broken → failed")]),
    ("INVITE", TCP, [(0, "INVITE → sent"), (0.1, "503 → ACK, passed up"), (0.2, "503 → unmatched")]),
    ("INVITE", TCP, [(0, "INVITE → sent"), (0.1, "broken → failed")]),
    (
        "INVITE",
        UDP,
        [
            (0, "INVITE → sent"),
            (0.1, "200 → passed up"),
            (0.6, "200 → passed up"),
            (0.7, "180 → absorbed"),
            (0.7, "486 → absorbed"),
            (32.1, "ended"),
            (33, "200 → unmatched"),
        ],
    ),
    (
        "INVITE",
        TCP,
        [(0, "INVITE → sent"), (1, "180 → passed up"), (2, "200 → passed up"), (34, "ended")],
    ),
]


def script_of(story: Timeline) -> Timeline:
    return [(at, entry.split(" → ")[0]) for at, entry in story if "→" in entry]


def outcomes_of(story: Timeline) -> Timeline:
    return [(at, entry.split(" → ")[-1]) for at, entry in story]


@pytest.mark.parametrize(("method", "reliable", "story"), SERVER)
def test_server(method: str, reliable: bool, story: Timeline) -> None:
    layer = Transactions(limit=10)
    seen = play(layer, script_of(story), ServerSide(layer, reliable))
    assert seen == outcomes_of(story)
    assert layer.server_count == 0


@pytest.mark.parametrize(("method", "reliable", "story"), CLIENT)
def test_client(method: str, reliable: bool, story: Timeline) -> None:
    layer = Transactions(limit=10)
    seen = play(layer, script_of(story), ClientSide(layer, reliable, method))
    assert seen == outcomes_of(story)
    assert layer.client_count == 0


class Recording(dict[tuple[State, Event], Step]):
    """A table that remembers which of its rows were used."""

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self.used: set[tuple[State, Event]] = set()

    def get(self, key: tuple[State, Event], default: None = None) -> Step | None:  # type: ignore[override]
        self.used.add(key)
        return super().get(key, default)


@pytest.mark.parametrize(
    ("kind", "table", "cases", "unused"),
    [
        # In state Completed an Answer, or a bare key, acts as its rows say. To give up without a 100 takes a
        # shell that sleeps too long: test_layer.py.
        (
            server.NonInviteServer,
            NON_INVITE_SERVER,
            SERVER,
            {(State.COMPLETED, Event.REQUEST), (State.TRYING, Event.TIMER_GIVE_UP)},
        ),
        (server.InviteServer, INVITE_SERVER, SERVER, set()),
        (client.NonInviteClient, NON_INVITE_CLIENT, CLIENT, {(State.COMPLETED, Event.FINAL)}),
        (client.InviteClient, INVITE_CLIENT, CLIENT, set()),
    ],
)
def test_the_stories_above_use_every_row(
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Transaction],
    table: Table,
    cases: list[Case],
    unused: set[tuple[State, Event]],
) -> None:
    recording = Recording(table)
    monkeypatch.setattr(kind, "TABLE", recording)
    for method, reliable, story in cases:
        layer = Transactions(limit=10)
        side = ServerSide(layer, reliable) if cases is SERVER else ClientSide(layer, reliable, method)
        play(layer, script_of(story), side)
    assert set(table) - recording.used == unused
