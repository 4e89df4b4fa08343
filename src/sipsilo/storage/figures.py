"""What the running servers have counted, and what is stored: for `sipsilo stats`."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from sipsilo.silo.repository import Gauges
from sipsilo.storage.access import connect
from sipsilo.storage.offline import open_repository
from sipsilo.storage.tables import SiloNames, Tables


@dataclass(frozen=True, slots=True)
class Figures:
    """`counts`: the statistics of each node, by its name and theirs; `gauges`: what there is now."""

    counts: Mapping[str, Mapping[str, int]]
    gauges: Gauges


async def read_figures(url: str, names: SiloNames, now: float) -> Figures:
    """What a database knows at the Unix time `now`. Raises RepositoryError."""
    async with open_repository(url, names) as repository:
        gauges = await repository.gauges(now)
    async with connect(url) as access:
        return Figures(await access.run(_read_counts), gauges)


def _read_counts(connection: Connection) -> dict[str, dict[str, int]]:
    table = Tables().statistics.c
    counts: dict[str, dict[str, int]] = {}
    for node, name, value in connection.execute(select(table.node, table.name, table.value).order_by(table.node)):
        counts.setdefault(node, {})[name] = value
    return counts
