"""Claims: which node delivers to an owner, and until when (docs/design.md, Claim, deliver, delete)."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, or_, select, update

from sipsilo.silo.repository import Busy
from sipsilo.sip.uri import Aor
from sipsilo.storage.connection import Connection, Dialect
from sipsilo.storage.dialects import has_aor, insert_if_absent
from sipsilo.storage.engine import Operation
from sipsilo.storage.tables import Tables


class Claims:
    """Takes owners for one node, within the transaction of somebody else's operation."""

    def __init__(self, tables: Tables, dialect: Dialect, node: str) -> None:
        claim = tables.claim
        may_be_taken = or_(claim.c.node == bindparam("me"), claim.c.until < bindparam("now"))
        self._node = node
        self._take = (
            update(claim).where(has_aor(claim), may_be_taken).values(node=bindparam("me"), until=bindparam("lease"))
        )
        self._insert = insert_if_absent(dialect, claim)
        self._until = select(claim.c.until).where(has_aor(claim))

    async def take(self, connection: Connection, owner: Aor, now: float, lease: float) -> Busy | None:
        """Take an owner until `lease`; Busy when another node has it."""
        values = {"user": owner.user, "host": owner.host, "me": self._node, "now": now, "lease": lease}
        if await connection.execute(self._take, values):
            return None
        row = {"username": owner.user, "domain": owner.host, "node": self._node, "until": lease}
        if await connection.execute(self._insert, row):
            return None
        found = await connection.fetch(self._until, values)
        return Busy(found[0][0] if found else now)


class Release(Operation[Aor, None]):
    """Give up claims of a node."""

    rank = 5

    def __init__(self, tables: Tables, node: str) -> None:
        claim = tables.claim
        self._node = node
        self._statement = delete(claim).where(has_aor(claim), claim.c.node == bindparam("me"))

    async def run(self, connection: Connection, items: Sequence[Aor]) -> Sequence[None]:
        """For each owner."""
        # in the order of the keys: two nodes that go through the same rows must not meet head on
        rows = [{"user": owner.user, "host": owner.host, "me": self._node} for owner in sorted(items)]
        await connection.execute_many(self._statement, rows)
        return [None] * len(items)


class Renew(Operation[float, None]):
    """Prolong all claims of a node."""

    rank = 6

    def __init__(self, tables: Tables, node: str) -> None:
        claim = tables.claim
        self._node = node
        self._statement = update(claim).where(claim.c.node == bindparam("me")).values(until=bindparam("lease"))

    async def run(self, connection: Connection, items: Sequence[float]) -> Sequence[None]:
        """Until the latest of the times."""
        await connection.execute(self._statement, {"me": self._node, "lease": max(items)})
        return [None] * len(items)


class DropClaims(Operation[str, None]):
    """Give up whatever a node has claimed."""

    rank = 0

    def __init__(self, tables: Tables) -> None:
        self._statement = delete(tables.claim).where(tables.claim.c.node == bindparam("me"))

    async def run(self, connection: Connection, items: Sequence[str]) -> Sequence[None]:
        """For each node."""
        await connection.execute_many(self._statement, [{"me": node} for node in items])
        return [None] * len(items)
