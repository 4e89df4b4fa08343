"""Facts about the database as a whole."""

import secrets
from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.sql import Executable

from sipsilo.storage.connection import Connection
from sipsilo.storage.dialects import insert_if_absent
from sipsilo.storage.engine import Engine, Operation
from sipsilo.storage.tables import Tables

_SILO_ID = "silo_id"


class _SiloId(Operation[str, str]):
    rank = 0

    def __init__(self, engine: Engine, tables: Tables) -> None:
        self._insert = insert_if_absent(engine.dialect, tables.meta)
        self._select = select(tables.meta.c.value).where(tables.meta.c.name == bindparam("name"))

    async def run(self, connection: Connection, items: Sequence[str]) -> Sequence[str]:
        found = await connection.fetch(self._select, {"name": _SILO_ID})
        if not found:
            await connection.execute(self._insert, {"name": _SILO_ID, "value": items[0]})
            found = await connection.fetch(self._select, {"name": _SILO_ID})
        return [found[0][0]] * len(items)


async def silo_id(engine: Engine, tables: Tables) -> str:
    """The name of this silo in the Call-IDs that it makes: one for all nodes, unchanged by restarts.

    Raises StorageError.
    """
    return await engine.submit(_SiloId(engine, tables), f"{secrets.token_hex(8)}.silo")


def lock_quotas(tables: Tables) -> Executable:
    """A query that lets one transaction at a time count messages and add to them, on whatever node.

    It locks a row that every database of ours has.
    """
    return select(tables.meta.c.value).where(tables.meta.c.name == _SILO_ID).with_for_update()
