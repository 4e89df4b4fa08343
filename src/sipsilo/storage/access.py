"""Connections for administration, by SQLAlchemy; what goes wrong is told in one line.

The server's own work goes past SQLAlchemy (`engine`): here a call may take a millisecond.
"""

import asyncio
import errno
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from sipsilo.silo.repository import RepositoryError
from sipsilo.storage.urls import DatabaseUrl, UrlError, connect_arguments, parse_url, shown, sqlalchemy_url

Result = TypeVar("Result")

CONNECT_SECONDS = 10.0
"""How long a server may take to let us in."""
LOCK_SECONDS = 10.0
"""How long another program may keep a SQLite file to itself."""

# What does not fit is refused, whatever the server's own setting is: MySQL would cut it in silence.
_STRICT = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"


_ERRNO = re.compile(r"\[Errno (\d+)\]")


class DatabaseError(RepositoryError):
    """The database cannot be used; the text says which and why, in one line without its password."""


class Access:
    """One open connection. Work on it is done by `run`, and committed by the work itself."""

    def __init__(self, url: str, connection: Connection) -> None:
        self.url = url
        self.connection = connection

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Do `work(connection, *arguments)`; what it has not committed is undone. Raises DatabaseError."""
        with _told(self.url):
            return await greenlet_spawn(work, self.connection, *arguments)


@asynccontextmanager
async def connect(url: str, *, create: bool = False) -> AsyncIterator[Access]:
    """A connection to a database, closed at the end. `create`: make a SQLite file that is not there.

    Raises DatabaseError.
    """
    try:
        place = parse_url(url)
        sqlalchemy_url(place)
    except UrlError as error:
        raise DatabaseError(str(error)) from None
    with _told(url):
        if place.kind == "sqlite":
            _prepare_file(place, create=create)
    async with _opened(url, place) as connection:
        yield Access(url, connection)


@asynccontextmanager
async def _opened(url: str, place: DatabaseUrl) -> AsyncIterator[Connection]:
    if place.kind == "sqlite":
        engine = _sqlite_engine(place)
        try:
            with _told(url):
                connection = engine.connect()
            with connection:
                yield connection
        finally:
            engine.dispose()
        return
    arguments: dict[str, Any] = dict(connect_arguments(place))
    if place.kind == "mysql":
        arguments["init_command"] = _STRICT
    # Loading it takes a quarter of a second, which the embedded database need not wait for.
    from sqlalchemy.ext.asyncio import create_async_engine

    servers = create_async_engine(sqlalchemy_url(place), connect_args=arguments, poolclass=NullPool)
    with _told(url):
        async with asyncio.timeout(CONNECT_SECONDS):
            asynchronous = await servers.connect()
    try:
        assert asynchronous.sync_connection is not None
        yield asynchronous.sync_connection
    finally:
        await asynchronous.close()


def _prepare_file(place: DatabaseUrl, *, create: bool) -> None:
    file = Path(place.path)
    if create:
        file.parent.mkdir(parents=True, exist_ok=True)
    elif not file.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _sqlite_engine(place: DatabaseUrl) -> Engine:
    engine = create_engine(sqlalchemy_url(place), connect_args={"timeout": LOCK_SECONDS}, poolclass=NullPool)

    # The driver by itself begins no transaction before CREATE and ALTER.
    @event.listens_for(engine, "connect")
    def _leave_transactions_to_us(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Whatever the drivers raise becomes one line."""
    try:
        yield
    except _errors(url) as error:
        raise DatabaseError(f"{shown(url)}: {reason(error)}") from error


def _errors(url: str) -> tuple[type[Exception], ...]:
    """What a database's driver raises, which SQLAlchemy does not always wrap."""
    if not url.startswith("postgres"):
        return SQLAlchemyError, OSError
    import asyncpg

    return SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError


def reason(error: BaseException) -> str:
    """Why a driver failed, in one line."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return reason(error.orig)
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:g} seconds"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
        return os.strerror(error.errno)
    # asyncmy: (1045, "Access denied …"); asyncio and asyncmy: … [Errno 111] Connect call failed …
    text = str(error.args[-1]) if error.args else type(error).__name__
    number = _ERRNO.search(str(error))
    return f"cannot connect: {os.strerror(int(number[1]))}" if number else text.strip().partition("\n")[0]
