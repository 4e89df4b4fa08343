"""Reminders, written, listed and cancelled from outside of a server; a running one notices within send_time."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from sipsilo.silo.message import NotStorable, StoredMessage, StoreOptions
from sipsilo.silo.reminders import parse_send_time
from sipsilo.silo.repository import QuotaFull
from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor, Uri, parse_uri
from sipsilo.storage.access import connect
from sipsilo.storage.administration import check_schema
from sipsilo.storage.offline import open_repository
from sipsilo.storage.schema import Schema
from sipsilo.storage.sqlsilo import plain_table, read_rows
from sipsilo.storage.tables import SiloNames

__all__ = ["Reminder", "ReminderError", "add_reminder", "cancel_reminders", "list_reminders", "parse_send_time"]

_KEYS = ("mid", "username", "domain", "snd_time", "dst_addr", "body")


class ReminderError(Exception):
    """This reminder cannot be kept; the text says why, in one line."""


class Reminder(NamedTuple):
    """One that waits. `send_time` is a Unix time, `to` the URI that it goes to."""

    mid: int
    owner: Aor
    send_time: int
    to: str
    body: bytes


def make_reminder(
    source: str, destination: str, text: str, *, send_time: int, now: float, lifetime: int
) -> StoredMessage:
    """What is kept of a reminder: as of a MESSAGE from `source` to `destination` that m_store was told to send later.

    Times are Unix times, `lifetime` seconds from the send time on. Raises ReminderError.
    """
    if send_time <= now:
        raise ReminderError("its time is past")
    owner = _parse(destination).aor
    if owner is None:
        raise ReminderError(f"{destination!r} names no user, as sip:bob@example.org does")
    _parse(source)
    headers = [
        ("From", f"<{source}>"),
        ("To", f"<{destination}>"),
        ("Call-ID", f"{secrets.token_hex(16)}.reminder"),
        ("CSeq", "1 MESSAGE"),
        ("Content-Type", "text/plain;charset=UTF-8"),
    ]
    # bytes of the command line that are no UTF-8 came in as surrogates, and are kept as they were
    request = Request.build("MESSAGE", destination, headers, text.encode("utf-8", "surrogateescape"))
    try:
        return StoredMessage.from_request(request, owner, now, lifetime, options=StoreOptions(send_time=send_time))
    except NotStorable as error:
        raise ReminderError(error.reason) from None


def _parse(text: str) -> Uri:
    try:
        return parse_uri(text)
    except SipError:
        raise ReminderError(f"{text!r} is no URI such as sip:bob@example.org") from None


async def add_reminder(url: str, names: SiloNames, reminder: StoredMessage, max_messages: int) -> int:
    """Keep a reminder; its number. Raises ReminderError when its owner has max_messages; RepositoryError."""
    async with open_repository(url, names, max_messages) as repository:
        try:
            return await repository.add(reminder)
        except QuotaFull:
            raise ReminderError(f"{reminder.owner} has {max_messages} messages, as many as one may have") from None


async def list_reminders(url: str, names: SiloNames, owner: Aor | None) -> list[Reminder]:
    """Those that wait, of one owner or of all, the next one first. Raises RepositoryError."""
    schema = await check_schema(url, names)
    async with connect(url) as access:
        return await access.run(_list, schema, owner)


def _list(connection: Connection, schema: Schema, owner: Aor | None) -> list[Reminder]:
    silo = plain_table(schema.names, schema).c
    query = select(*(silo[key] for key in _KEYS)).where(silo.snd_time > 0).order_by(silo.snd_time, silo.mid)
    if owner is not None:
        query = query.where(silo.username == owner.user, silo.domain == owner.host)
    rows = read_rows(connection, query, _KEYS)
    return [
        Reminder(row["mid"], Aor(row["username"], row["domain"]), row["snd_time"], row["dst_addr"], row["body"] or b"")
        for row in rows
    ]


async def cancel_reminders(url: str, names: SiloNames, mids: Sequence[int]) -> list[int]:
    """Delete reminders by their numbers; those that are none, or are gone. Raises RepositoryError."""
    schema = await check_schema(url, names)
    async with connect(url) as access:
        return await access.run(_cancel, schema, mids)


def _cancel(connection: Connection, schema: Schema, mids: Sequence[int]) -> list[int]:
    silo = plain_table(schema.names, schema)
    missing = []
    for mid in mids:
        done = connection.execute(delete(silo).where(silo.c.mid == mid, silo.c.snd_time > 0))
        if not done.rowcount:
            missing.append(mid)
    connection.commit()
    return missing
