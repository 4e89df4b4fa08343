"""Messages and the claims on their owners, in SQLite."""

import sqlite3
from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from sipsilo.silo.message import NEVER, Attempt, StoredMessage
from sipsilo.silo.repository import Busy, PageRequest
from sipsilo.sip.uri import Aor
from sipsilo.storage.engine import Engine, Operation
from sipsilo.storage.sql import chunks, rows_of_marks

_COLUMNS = (
    "username, domain, src_addr, src_name, dst_addr, dst_name, ctype, body, extra_hdrs, callid, "
    "inc_time, orig_time, exp_time, attempts, next_try, last_status"
)
_COLUMN_COUNT = _COLUMNS.count(",") + 1


class _Add(Operation[StoredMessage, int]):
    rank = 1

    def run(self, connection: sqlite3.Connection, items: Sequence[StoredMessage]) -> Sequence[int]:
        mids: list[int] = []
        for chunk in chunks(items):
            values: list[object] = []
            for message in chunk:
                values += message.owner
                values += message[2:]
            cursor = connection.execute(
                f"INSERT INTO silo ({_COLUMNS}) VALUES {rows_of_marks(len(chunk), _COLUMN_COUNT)}", values
            )
            # one writer: the rows of a statement are numbered without gaps
            last = cursor.lastrowid or 0
            mids.extend(range(last - len(chunk) + 1, last + 1))
        return mids


class _Delete(Operation[int, None]):
    rank = 2

    def run(self, connection: sqlite3.Connection, items: Sequence[int]) -> Sequence[None]:
        for chunk in chunks(items):
            connection.execute(f"DELETE FROM silo WHERE mid IN {rows_of_marks(1, len(chunk))}", chunk)
        return [None] * len(items)


_RECORD = "UPDATE silo SET attempts=?, next_try=?, last_status=? WHERE mid=?"


class _Recording(NamedTuple):
    mid: int
    attempt: Attempt


class _Record(Operation[_Recording, None]):
    rank = 3

    def run(self, connection: sqlite3.Connection, items: Sequence[_Recording]) -> Sequence[None]:
        connection.executemany(_RECORD, [(*item.attempt, item.mid) for item in items])
        return [None] * len(items)


class _Postponement(NamedTuple):
    owner: Aor
    mid: int
    attempt: Attempt


class _Postpone(Operation[_Postponement, None]):
    rank = 4

    def run(self, connection: sqlite3.Connection, items: Sequence[_Postponement]) -> Sequence[None]:
        connection.executemany(_RECORD, [(*item.attempt, item.mid) for item in items])
        connection.executemany(
            "UPDATE silo SET next_try=? WHERE username=? AND domain=? AND next_try<? AND snd_time=0",
            [(item.attempt.next_try, *item.owner, item.attempt.next_try) for item in items],
        )
        return [None] * len(items)


class _ForgetRetries(Operation[Aor, None]):
    rank = 4

    def run(self, connection: sqlite3.Connection, items: Sequence[Aor]) -> Sequence[None]:
        connection.executemany(
            "UPDATE silo SET next_try=0 WHERE username=? AND domain=? AND next_try>0 AND next_try<?",
            [(*owner, NEVER) for owner in items],
        )
        return [None] * len(items)


class _Release(Operation[Aor, None]):
    rank = 5

    def __init__(self, node: str) -> None:
        self._node = node

    def run(self, connection: sqlite3.Connection, items: Sequence[Aor]) -> Sequence[None]:
        connection.executemany(
            "DELETE FROM sipsilo_claim WHERE username=? AND domain=? AND node=?",
            [(*owner, self._node) for owner in items],
        )
        return [None] * len(items)


class _Renew(Operation[float, None]):
    rank = 6

    def __init__(self, node: str) -> None:
        self._node = node

    def run(self, connection: sqlite3.Connection, items: Sequence[float]) -> Sequence[None]:
        connection.execute("UPDATE sipsilo_claim SET until=? WHERE node=?", (max(items), self._node))
        return [None] * len(items)


class _Claim(Operation[PageRequest, list[StoredMessage] | Busy]):
    rank = 7

    def __init__(self, node: str) -> None:
        self._node = node

    def run(self, connection: sqlite3.Connection, items: Sequence[PageRequest]) -> Sequence[list[StoredMessage] | Busy]:
        return [self._claim(connection, item) for item in items]

    def _claim(self, connection: sqlite3.Connection, item: PageRequest) -> list[StoredMessage] | Busy:
        page = _read_page(connection, item)
        if not page:
            return []
        taken = connection.execute(
            "INSERT INTO sipsilo_claim (username, domain, node, until) VALUES (?,?,?,?) "
            "ON CONFLICT (username, domain) DO UPDATE SET node=excluded.node, until=excluded.until "
            "WHERE node=excluded.node OR until<?",
            (*item.owner, self._node, item.lease, item.now),
        ).rowcount
        if taken:
            return page
        (until,) = connection.execute(
            "SELECT until FROM sipsilo_claim WHERE username=? AND domain=?", item.owner
        ).fetchone()
        return Busy(until)


def _read_page(connection: sqlite3.Connection, item: PageRequest) -> list[StoredMessage]:
    rows = connection.execute(
        f"SELECT mid, {_COLUMNS} FROM silo WHERE username=? AND domain=? AND mid>? AND exp_time>? "
        "AND snd_time=0 AND next_try<? ORDER BY mid LIMIT ?",
        (*item.owner, item.after, item.now, NEVER if item.ignore_backoff else item.now + 1, item.limit),
    )
    return [_message(row) for row in rows.fetchall()]


def _message(row: tuple[object, ...]) -> StoredMessage:
    # columns that other programs' rows do not have come as NULL
    values = [value if value is not None else default for value, default in zip(row[3:], _DEFAULTS, strict=True)]
    return StoredMessage._make((row[0], Aor(str(row[1]), str(row[2])), *values))


_DEFAULTS = ("", "", "", "", "", b"", b"", "", 0, 0, 0, 0, 0, None)


class _Waiting(Operation[float, list[Aor]]):
    rank = 8

    def run(self, connection: sqlite3.Connection, items: Sequence[float]) -> Sequence[list[Aor]]:
        rows = connection.execute(
            "SELECT DISTINCT username, domain FROM sipsilo_location AS l WHERE expires_at>? AND EXISTS "
            "(SELECT 1 FROM silo WHERE username=l.username AND domain=l.domain)",
            (min(items),),
        ).fetchall()
        return [[Aor(*row) for row in rows]] * len(items)


class _Due(Operation[tuple[float, int], list[Aor]]):
    rank = 8

    def run(self, connection: sqlite3.Connection, items: Sequence[tuple[float, int]]) -> Sequence[list[Aor]]:
        return [self._due(connection, *item) for item in items]

    def _due(self, connection: sqlite3.Connection, now: float, limit: int) -> list[Aor]:
        rows = connection.execute(
            "SELECT DISTINCT username, domain FROM silo WHERE next_try>0 AND next_try<=? LIMIT ?",
            (now, limit),
        )
        return [Aor(*row) for row in rows.fetchall()]


class _NextDue(Operation[float, float | None]):
    rank = 8

    def run(self, connection: sqlite3.Connection, items: Sequence[float]) -> Sequence[float | None]:
        now = min(items)
        query = "SELECT min(next_try) FROM silo WHERE next_try>? AND next_try<?"
        (due,) = connection.execute(query, (now, NEVER)).fetchone()
        return [due] * len(items)


class _Purge(Operation[tuple[float, int], int]):
    rank = 9

    def run(self, connection: sqlite3.Connection, items: Sequence[tuple[float, int]]) -> Sequence[int]:
        return [
            connection.execute(
                "DELETE FROM silo WHERE mid IN (SELECT mid FROM silo WHERE exp_time<=? LIMIT ?)", item
            ).rowcount
            for item in items
        ]


class _DropClaims(Operation[str, None]):
    rank = 0

    def run(self, connection: sqlite3.Connection, items: Sequence[str]) -> Sequence[None]:
        connection.executemany("DELETE FROM sipsilo_claim WHERE node=?", [(node,) for node in items])
        return [None] * len(items)


class MessageRepository:
    """The silo's `Repository` on an engine, for one node."""

    def __init__(self, engine: Engine, node: str) -> None:
        self._engine = engine
        self._node = node
        self._add = _Add()
        self._delete = _Delete()
        self._record = _Record()
        self._postpone = _Postpone()
        self._forget_retries = _ForgetRetries()
        self._release = _Release(node)
        self._renew = _Renew(node)
        self._claim = _Claim(node)
        self._waiting = _Waiting()
        self._due = _Due()
        self._next_due = _NextDue()
        self._purge = _Purge()

    async def start(self) -> None:
        """Drop what an earlier run of this node had claimed, so that nobody waits for its lease."""
        await self._engine.submit(_DropClaims(), self._node)

    def add(self, message: StoredMessage) -> Awaitable[int]:
        """Keep a message; its number."""
        return self._engine.submit(self._add, message)

    def delete(self, mid: int) -> Awaitable[None]:
        """Delete a message that was delivered."""
        return self._engine.submit(self._delete, mid)

    def record(self, mid: int, attempt: Attempt) -> Awaitable[None]:
        """Note how an attempt ended."""
        return self._engine.submit(self._record, _Recording(mid, attempt))

    def postpone(self, owner: Aor, mid: int, attempt: Attempt) -> Awaitable[None]:
        """Note an attempt after which nothing of the owner's is to be tried before `attempt.next_try`."""
        return self._engine.submit(self._postpone, _Postponement(owner, mid, attempt))

    def claim(self, request: PageRequest) -> Awaitable[list[StoredMessage] | Busy]:
        """The next messages of an owner, with the owner claimed for this node when there are any."""
        return self._engine.submit(self._claim, request)

    def release(self, owner: Aor) -> Awaitable[None]:
        """Give up the claim on an owner."""
        return self._engine.submit(self._release, owner)

    def renew(self, lease: float) -> Awaitable[None]:
        """Prolong all claims of this node."""
        return self._engine.submit(self._renew, lease)

    def forget_retries(self, owner: Aor) -> Awaitable[None]:
        """Retry nothing of this owner's before they register."""
        return self._engine.submit(self._forget_retries, owner)

    def waiting(self, now: float) -> Awaitable[list[Aor]]:
        """Owners who are bound and have messages."""
        return self._engine.submit(self._waiting, now)

    def due(self, now: float, limit: int) -> Awaitable[list[Aor]]:
        """Owners of messages whose next attempt is due."""
        return self._engine.submit(self._due, (now, limit))

    def next_due(self, now: float) -> Awaitable[float | None]:
        """When, later than now, the next of them is due."""
        return self._engine.submit(self._next_due, now)

    def purge(self, now: float, limit: int) -> Awaitable[int]:
        """Delete up to `limit` expired messages; how many there were."""
        return self._engine.submit(self._purge, (now, limit))
