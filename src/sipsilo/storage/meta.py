"""Facts about the database as a whole."""

import secrets
import sqlite3
from collections.abc import Sequence

from sipsilo.storage.engine import Engine, Operation


class _SiloId(Operation[str, str]):
    rank = 0

    def run(self, connection: sqlite3.Connection, items: Sequence[str]) -> Sequence[str]:
        connection.execute(
            "INSERT INTO sipsilo_meta (name, value) VALUES ('silo_id', ?) ON CONFLICT DO NOTHING", (items[0],)
        )
        (value,) = connection.execute("SELECT value FROM sipsilo_meta WHERE name='silo_id'").fetchone()
        return [value] * len(items)


async def silo_id(engine: Engine) -> str:
    """The name of this silo in the Call-IDs that it makes: one for all nodes, unchanged by restarts.

    Raises StorageError.
    """
    return await engine.submit(_SiloId(), f"{secrets.token_hex(8)}.silo")
