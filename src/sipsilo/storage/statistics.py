"""What each node has counted, in the table sipsilo_statistics."""

from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete

from sipsilo.storage.connection import Connection, Insert
from sipsilo.storage.engine import Operation
from sipsilo.storage.tables import Tables


class Publish(Operation[Mapping[str, int], None]):
    """Write a node's statistics in the place of those that it has written before."""

    rank = 9

    def __init__(self, tables: Tables, node: str) -> None:
        self._node = node
        self._delete = delete(tables.statistics).where(tables.statistics.c.node == bindparam("me"))
        self._insert = Insert(tables.statistics, ("node", "name", "value"))

    async def run(self, connection: Connection, items: Sequence[Mapping[str, int]]) -> Sequence[None]:
        """The last ones count."""
        await connection.execute(self._delete, {"me": self._node})
        await connection.insert(self._insert, [(self._node, name, value) for name, value in items[-1].items()])
        return [None] * len(items)
