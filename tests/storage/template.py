"""Databases with empty tables: made once, then copied or emptied, which is far quicker."""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from sipsilo.storage.administration import init
from sipsilo.storage.tables import SiloNames, Tables
from sipsilo.storage.urls import connect_arguments, parse_url, sqlalchemy_url


def put_empty_database(file: Path) -> None:
    """Make a SQLite file what a first start would make it."""
    file.write_bytes(_empty_database())


@cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "silo.db"
        # in a thread, as the caller's may have a loop that runs
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, create_tables(f"sqlite:///{file}")).result()
        return file.read_bytes()


async def create_tables(url: str) -> None:
    """Make the tables as `sipsilo db init` does."""
    await init(url, SiloNames())


async def empty_tables(url: str) -> None:
    """Delete all rows."""

    def delete(connection: sqlalchemy.Connection) -> None:
        for table in Tables().metadata.sorted_tables:
            connection.execute(table.delete())

    await _run(url, delete)


async def _run(url: str, work: Callable[[sqlalchemy.Connection], None]) -> None:
    place = parse_url(url)
    engine = create_async_engine(sqlalchemy_url(place), connect_args=connect_arguments(place))
    async with engine.begin() as connection:
        await connection.run_sync(work)
    await engine.dispose()
