"""Messages, in the silo's table."""

import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    String,
    Table,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql import Executable

from sipsilo.silo.message import AT_REGISTRATION, NEVER, Attempt, StoredMessage
from sipsilo.silo.repository import Busy, Gauges, PageRequest, QuotaFull
from sipsilo.sip.uri import Aor
from sipsilo.storage.claims import Claims, DropClaims, Release, Renew
from sipsilo.storage.connection import Connection, Dialect, Insert, Row
from sipsilo.storage.dialects import is_owner
from sipsilo.storage.engine import Engine, Operation
from sipsilo.storage.meta import lock_quotas
from sipsilo.storage.statements import chunks, is_one_chunk
from sipsilo.storage.statistics import Publish
from sipsilo.storage.tables import Tables, is_pending

_COLUMNS = (
    "username", "domain", "src_addr", "src_name", "dst_addr", "dst_name", "ctype", "body", "extra_hdrs", "callid",
    "inc_time", "orig_time", "exp_time", "attempts", "next_try", "last_status", "snd_time",
)  # fmt: skip
"""The columns, by their keys, in the order of StoredMessage's fields."""

_DEFAULTS = ("", "", "", "", "", b"", b"", "", 0, 0, 0, 0, 0, None, 0)
"""What a NULL stands for, from src_addr on: other programs' rows do not have all columns."""

_HEADERS = _COLUMNS.index("extra_hdrs")


class _Add(Operation[StoredMessage, int]):
    rank = 1

    def __init__(self, tables: Tables, max_messages: int) -> None:
        silo = tables.silo
        self._insert = Insert(silo, _COLUMNS, returning="mid")
        self._max_messages = max_messages
        self._headers_are_text = tables.headers_are_text
        self._lock = lock_quotas(tables)
        self._owners = tuple_(silo.c.username, silo.c.domain)
        self._count = select(silo.c.username, silo.c.domain, func.count()).group_by(silo.c.username, silo.c.domain)
        self._unexpired = silo.c.exp_time > bindparam("now")
        self._counts: dict[int, Executable] = {}

    async def run(self, connection: Connection, items: Sequence[StoredMessage]) -> Sequence[int | Exception]:
        places = await self._within_quota(connection, items) if self._max_messages else range(len(items))
        rows = [self._row(items[place]) for place in places]
        numbers = await connection.insert(self._insert, rows) if rows else ()
        if len(numbers) == len(items):
            return numbers
        outcomes: list[int | Exception] = [QuotaFull(str(message.owner)) for message in items]
        for place, number in zip(places, numbers, strict=True):
            outcomes[place] = number
        return outcomes

    def is_one_statement(self, items: Sequence[StoredMessage]) -> bool:
        return not self._max_messages and is_one_chunk(items)

    def _row(self, message: StoredMessage) -> tuple[object, ...]:
        row: tuple[object, ...] = (*message.owner, *message[2:])
        if self._headers_are_text:
            text = message.headers.decode("utf-8", "surrogateescape")
            return (*row[:_HEADERS], text, *row[_HEADERS + 1 :])
        return row

    async def _within_quota(self, connection: Connection, items: Sequence[StoredMessage]) -> list[int]:
        """The places of those items that their owners have room for."""
        await connection.fetch(self._lock, {})
        there = await self._stored(connection, sorted({message.owner for message in items}))
        places = []
        for place, message in enumerate(items):
            there[message.owner] += 1
            if there[message.owner] <= self._max_messages:
                places.append(place)
        return places

    async def _stored(self, connection: Connection, owners: Sequence[Aor]) -> Counter[Aor]:
        """How many unexpired messages the owners have."""
        now = time.time()
        counts: Counter[Aor] = Counter()
        for chunk in chunks(owners):
            values: dict[str, object] = {"now": now}
            for place, owner in enumerate(chunk):
                values |= {f"user_{place}": owner.user, f"host_{place}": owner.host}
            for user, host, count in await connection.fetch(self._counting(len(chunk)), values):
                counts[Aor(user, host)] += count
        return counts

    def _counting(self, owners: int) -> Executable:
        if owners not in self._counts:
            pairs = [
                tuple_(bindparam(f"user_{place}", type_=String), bindparam(f"host_{place}", type_=String))
                for place in range(owners)
            ]
            self._counts[owners] = self._count.where(self._owners.in_(pairs), self._unexpired)
        return self._counts[owners]


class _Delete(Operation[int, None]):
    rank = 2

    def __init__(self, tables: Tables) -> None:
        self._silo = tables.silo
        self._deletes: dict[int, Executable] = {}

    async def run(self, connection: Connection, items: Sequence[int]) -> Sequence[None]:
        for chunk in chunks(sorted(items)):
            values = {f"mid_{place}": mid for place, mid in enumerate(chunk)}
            await connection.execute(self._delete(len(chunk)), values)
        return [None] * len(items)

    def is_one_statement(self, items: Sequence[int]) -> bool:
        return is_one_chunk(items)

    def _delete(self, count: int) -> Executable:
        if count not in self._deletes:
            mids = [bindparam(f"mid_{place}", type_=BigInteger) for place in range(count)]
            self._deletes[count] = delete(self._silo).where(self._silo.c.mid.in_(mids))
        return self._deletes[count]


class _Recording(NamedTuple):
    mid: int
    attempt: Attempt


class _Record(Operation[_Recording, None]):
    rank = 3

    def __init__(self, tables: Tables) -> None:
        self._statement = _recording(tables.silo)

    async def run(self, connection: Connection, items: Sequence[_Recording]) -> Sequence[None]:
        await connection.execute_many(self._statement, [_recorded(*item) for item in items])
        return [None] * len(items)


def _recording(silo: Table) -> Executable:
    """A reminder that fails becomes an ordinary message, as in OpenSIPS."""
    return (
        update(silo)
        .where(silo.c.mid == bindparam("number"))
        .values(
            attempts=bindparam("attempts"), next_try=bindparam("next_try"), last_status=bindparam("status"), snd_time=0
        )
    )


def _recorded(mid: int, attempt: Attempt) -> dict[str, object]:
    return {
        "number": mid,
        "attempts": attempt.number,
        "next_try": attempt.next_try,
        "status": attempt.status,
        "snd_time": 0,
    }


class _Postponement(NamedTuple):
    owner: Aor
    mid: int
    attempt: Attempt


class _Postpone(Operation[_Postponement, None]):
    rank = 4

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        silo = tables.silo
        self._record = _recording(silo)
        self._delay = (
            update(silo)
            .where(is_owner(dialect, silo), silo.c.next_try < bindparam("until"), silo.c.snd_time == 0)
            .values(next_try=bindparam("until"))
        )

    async def run(self, connection: Connection, items: Sequence[_Postponement]) -> Sequence[None]:
        await connection.execute_many(self._record, [_recorded(item.mid, item.attempt) for item in items])
        delays = [{"user": item.owner.user, "host": item.owner.host, "until": item.attempt.next_try} for item in items]
        await connection.execute_many(self._delay, delays)
        return [None] * len(items)


class _Forgetting(NamedTuple):
    owner: Aor
    now: float


def _is_bound(tables: Tables) -> ColumnElement[bool]:
    """Whether the owner of a row has a binding, at whatever node, that takes MESSAGEs."""
    silo, location = tables.silo, tables.location
    return (
        select(location.c.contact)
        .where(
            location.c.username == silo.c.username,
            location.c.domain == silo.c.domain,
            location.c.expires_at > bindparam("now"),
            or_(location.c.methods.is_(None), location.c.methods.like("%MESSAGE%")),
        )
        .exists()
    )


class _ForgetRetries(Operation[_Forgetting, None]):
    rank = 4

    def __init__(self, tables: Tables, dialect: Dialect) -> None:
        silo = tables.silo
        self._statement = (
            update(silo)
            .where(
                is_owner(dialect, silo),
                silo.c.next_try > 0,
                silo.c.next_try < NEVER,
                silo.c.snd_time <= bindparam("now"),
                ~_is_bound(tables),
            )
            .values(next_try=AT_REGISTRATION)
        )

    async def run(self, connection: Connection, items: Sequence[_Forgetting]) -> Sequence[None]:
        rows = [{"user": item.owner.user, "host": item.owner.host, "now": int(item.now)} for item in items]
        await connection.execute_many(self._statement, rows)
        return [None] * len(items)


class _Claim(Operation[PageRequest, list[StoredMessage] | Busy]):
    rank = 7

    def __init__(self, tables: Tables, dialect: Dialect, node: str) -> None:
        silo = tables.silo
        self._claims = Claims(tables, dialect, node)
        wanted = (
            is_owner(dialect, silo),
            silo.c.mid > bindparam("after"),
            silo.c.exp_time > bindparam("now"),
            silo.c.snd_time <= bindparam("now"),
            silo.c.next_try < bindparam("before"),
        )
        columns = [silo.c[key] for key in ("mid", *_COLUMNS)]
        self._page = select(*columns).where(*wanted).order_by(silo.c.mid).limit(bindparam("limit"))

    async def run(self, connection: Connection, items: Sequence[PageRequest]) -> Sequence[list[StoredMessage] | Busy]:
        # in the order of the owners: two nodes that want the same ones must not meet head on
        order = sorted(range(len(items)), key=lambda place: items[place].owner)
        found = {place: await self._claim(connection, items[place]) for place in order}
        return [found[place] for place in range(len(items))]

    async def _claim(self, connection: Connection, item: PageRequest) -> list[StoredMessage] | Busy:
        if not await self._read(connection, item):
            return []  # most have nothing, and no claim need be written for them
        busy = await self._claims.take(connection, item.owner, item.now, item.lease)
        # read again: until now another node may have delivered what we saw
        return busy or await self._read(connection, item)

    async def _read(self, connection: Connection, item: PageRequest) -> list[StoredMessage]:
        values = {
            "user": item.owner.user,
            "host": item.owner.host,
            "after": item.after,
            "now": int(item.now),
            "before": NEVER if item.ignore_backoff else int(item.now) + 1,
            "limit": item.limit,
        }
        return [_message(row) for row in await connection.fetch(self._page, values)]


def _message(row: Row) -> StoredMessage:
    values: list[Any] = [default if value is None else value for value, default in zip(row[3:], _DEFAULTS, strict=True)]
    headers = values[_HEADERS - 2]
    if isinstance(headers, str):
        values[_HEADERS - 2] = headers.encode("utf-8", "surrogateescape")
    return StoredMessage._make((row[0], Aor(row[1], row[2]), *values))


class _Waiting(Operation[float, list[Aor]]):
    rank = 8

    def __init__(self, tables: Tables) -> None:
        silo, location = tables.silo, tables.location
        is_same = and_(silo.c.username == location.c.username, silo.c.domain == location.c.domain)
        self._statement = (
            select(location.c.username, location.c.domain)
            .distinct()
            .where(location.c.expires_at > bindparam("now"), select(silo.c.mid).where(is_same).exists())
        )

    async def run(self, connection: Connection, items: Sequence[float]) -> Sequence[list[Aor]]:
        rows = await connection.fetch(self._statement, {"now": min(items)})
        return [[Aor(*row) for row in rows]] * len(items)


class _Due(Operation[tuple[float, int], list[Aor]]):
    rank = 8

    def __init__(self, tables: Tables) -> None:
        silo = tables.silo
        self._statement = (
            select(silo.c.username, silo.c.domain)
            .distinct()
            .where(
                is_pending(silo),
                silo.c.next_try > 0,
                silo.c.next_try <= bindparam("now"),
                silo.c.exp_time > bindparam("now"),
            )
            .limit(bindparam("limit"))
        )

    async def run(self, connection: Connection, items: Sequence[tuple[float, int]]) -> Sequence[list[Aor]]:
        found = [await connection.fetch(self._statement, {"now": int(now), "limit": limit}) for now, limit in items]
        return [[Aor(*row) for row in rows] for rows in found]


class _NextDue(Operation[float, float | None]):
    rank = 8

    def __init__(self, tables: Tables) -> None:
        next_try = tables.silo.c.next_try
        self._statement = select(func.min(next_try)).where(
            is_pending(tables.silo), next_try > bindparam("now"), next_try < NEVER
        )

    async def run(self, connection: Connection, items: Sequence[float]) -> Sequence[float | None]:
        ((due,),) = await connection.fetch(self._statement, {"now": int(min(items))})
        return [due] * len(items)


class _Purge(Operation[tuple[float, int], int]):
    rank = 9

    def __init__(self, tables: Tables) -> None:
        silo = tables.silo
        self._expired = select(silo.c.mid).where(silo.c.exp_time <= bindparam("now")).limit(bindparam("limit"))
        self._delete = _Delete(tables)

    async def run(self, connection: Connection, items: Sequence[tuple[float, int]]) -> Sequence[int]:
        return [await self._purge(connection, *item) for item in items]

    async def _purge(self, connection: Connection, now: float, limit: int) -> int:
        mids = [mid for (mid,) in await connection.fetch(self._expired, {"now": int(now), "limit": limit})]
        await self._delete.run(connection, mids)
        return len(mids)


class _AdoptReminders(Operation[None, None]):
    rank = 4

    def __init__(self, tables: Tables) -> None:
        silo = tables.silo
        self._statement = (
            update(silo)
            .where(is_pending(silo), silo.c.next_try == 0, silo.c.snd_time > 0)
            .values(next_try=silo.c.snd_time)
        )

    async def run(self, connection: Connection, items: Sequence[None]) -> Sequence[None]:
        await connection.execute(self._statement, {})
        return [None] * len(items)


class _ReadGauges(Operation[float, Gauges]):
    rank = 8

    def __init__(self, tables: Tables) -> None:
        silo = tables.silo
        self._all = select(func.count(), func.min(silo.c.inc_time)).select_from(silo)
        self._due = select(func.count()).where(
            is_pending(silo), silo.c.snd_time > 0, silo.c.snd_time <= bindparam("now")
        )

    async def run(self, connection: Connection, items: Sequence[float]) -> Sequence[Gauges]:
        ((stored, oldest),) = await connection.fetch(self._all, {})
        ((due,),) = await connection.fetch(self._due, {"now": int(min(items))})
        return [Gauges(stored, due, oldest)] * len(items)


class MessageRepository:
    """The silo's `Repository` on an engine, for one node.

    `max_messages`: unexpired messages that one owner may have, 0 for any number.
    """

    def __init__(
        self,
        engine: Engine,
        tables: Tables,
        node: str,
        *,
        max_messages: int = 0,
    ) -> None:
        self._engine = engine
        self._node = node
        self._add = _Add(tables, max_messages)
        self._delete = _Delete(tables)
        self._record = _Record(tables)
        self._postpone = _Postpone(tables, engine.dialect)
        self._forget_retries = _ForgetRetries(tables, engine.dialect)
        self._release = Release(tables, node)
        self._renew = Renew(tables, node)
        self._drop_claims = DropClaims(tables)
        self._claim = _Claim(tables, engine.dialect, node)
        self._waiting = _Waiting(tables)
        self._due = _Due(tables)
        self._next_due = _NextDue(tables)
        self._purge = _Purge(tables)
        self._adopt_reminders = _AdoptReminders(tables)
        self._gauges = _ReadGauges(tables)
        self._publish = Publish(tables, node)

    async def start(self) -> None:
        """Drop what an earlier run of this node had claimed, so that nobody waits for its lease."""
        await self._engine.submit(self._drop_claims, self._node)

    def add(self, message: StoredMessage) -> Awaitable[int]:
        """Keep a message; its number. Raises QuotaFull."""
        return self._engine.submit(self._add, message)

    def delete(self, mid: int) -> Awaitable[None]:
        """Delete a message that was delivered."""
        return self._engine.submit(self._delete, mid)

    def record(self, mid: int, attempt: Attempt) -> Awaitable[None]:
        """Note how an attempt ended; a reminder becomes an ordinary message."""
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

    def forget_retries(self, owner: Aor, now: float) -> Awaitable[None]:
        """Retry nothing of this owner's before they register; reminders after `now` keep their time."""
        return self._engine.submit(self._forget_retries, _Forgetting(owner, now))

    def waiting(self, now: float) -> Awaitable[list[Aor]]:
        """Owners who are bound and have messages."""
        return self._engine.submit(self._waiting, now)

    def due(self, now: float, limit: int) -> Awaitable[list[Aor]]:
        """Owners of messages whose next attempt, or send time, is due."""
        return self._engine.submit(self._due, (now, limit))

    def next_due(self, now: float) -> Awaitable[float | None]:
        """When, later than now, the next of them is due."""
        return self._engine.submit(self._next_due, now)

    def purge(self, now: float, limit: int) -> Awaitable[int]:
        """Delete up to `limit` expired messages; how many there were."""
        return self._engine.submit(self._purge, (now, limit))

    def adopt_reminders(self) -> Awaitable[None]:
        """Take up the reminders that other programs have put into the table."""
        return self._engine.submit(self._adopt_reminders, None)

    def gauges(self, now: float) -> Awaitable[Gauges]:
        """What there is now."""
        return self._engine.submit(self._gauges, now)

    def publish(self, statistics: Mapping[str, int]) -> Awaitable[None]:
        """Write this node's statistics where `sipsilo stats` finds them."""
        return self._engine.submit(self._publish, statistics)
