"""An empty database as a file to be copied: its tables take twenty times as long to make."""

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from sipsilo.storage.engine import Engine


def put_empty_database(file: Path) -> None:
    """Make a file what a first start would make it."""
    file.write_bytes(_empty_database())


@cache
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "silo.db"
        asyncio.run(_create(file))
        return file.read_bytes()


async def _create(file: Path) -> None:
    engine = Engine(f"sqlite:///{file}")
    engine.open()
    await engine.close()
