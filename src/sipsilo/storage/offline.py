"""Work on the silo of a database from outside of a server: the repository, for a moment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sipsilo.storage.administration import check_schema
from sipsilo.storage.messages import MessageRepository
from sipsilo.storage.opening import create_engine
from sipsilo.storage.tables import SiloNames
from sipsilo.storage.urls import parse_url


@asynccontextmanager
async def open_repository(url: str, names: SiloNames, max_messages: int = 0) -> AsyncIterator[MessageRepository]:
    """The messages of a database whose tables are complete; this makes no node of us. Raises RepositoryError."""
    schema = await check_schema(url, names)
    engine = create_engine(parse_url(url), connections=1, max_pending=10)
    await engine.open()
    try:
        yield MessageRepository(engine, schema.tables, node="", max_messages=max_messages)
    finally:
        await engine.close()
