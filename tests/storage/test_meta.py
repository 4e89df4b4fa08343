"""The silo's name."""

from sipsilo.storage.meta import silo_id
from tests.loop import run
from tests.storage.conftest import TABLES, Database


def test_name_is_one_for_all_nodes_and_stays(database: Database) -> None:
    async def scenario() -> None:
        async with database.node("one") as one, database.node("two") as two:
            name = await silo_id(one.engine, TABLES)
            assert await silo_id(two.engine, TABLES) == name
        async with database.node("one") as one:
            assert await silo_id(one.engine, TABLES) == name

    run(scenario())


def test_names_of_two_silos_differ(database: Database) -> None:
    async def scenario() -> str:
        async with database.node() as node:
            name = await silo_id(node.engine, TABLES)
            database.execute("DELETE FROM sipsilo_meta")
            assert await silo_id(node.engine, TABLES) != name
            return name

    # it stands in Call-IDs behind the @
    assert run(scenario()).replace(".", "").isalnum()
