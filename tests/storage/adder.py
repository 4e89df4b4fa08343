"""Stores messages as fast as it can and writes the number of each as soon as it is told it. To be killed."""

import asyncio
import sys

import uvloop

from sipsilo.storage.messages import MessageRepository
from sipsilo.storage.opening import create_engine
from sipsilo.storage.tables import Tables
from sipsilo.storage.urls import parse_url
from tests.storage.samples import message


async def add_forever(url: str) -> None:
    engine = create_engine(parse_url(url), connections=2, max_pending=1000)
    await engine.open()
    repository = MessageRepository(engine, Tables(), "one")

    async def add_one_after_the_other() -> None:
        while True:
            mid = await repository.add(message())
            sys.stdout.write(f"{mid}\n")
            sys.stdout.flush()

    await asyncio.gather(*(add_one_after_the_other() for _ in range(20)))


if __name__ == "__main__":
    uvloop.run(add_forever(sys.argv[1]))
