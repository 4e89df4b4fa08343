"""Making and upgrading the tables, on all databases."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Float, inspect, select
from sqlalchemy.dialects import mysql

from sipsilo.storage import migrations
from sipsilo.storage.access import DatabaseError, connect
from sipsilo.storage.administration import check, check_schema, init, open_schema, upgrade
from sipsilo.storage.schema import HEAD, VERSION_TABLE, SchemaError, look
from sipsilo.storage.tables import SiloNames, Tables
from tests.storage.foreign import KAMAILIO, OPENSIPS, PLAIN_INSERT
from tests.storage.kinds import KINDS, Place, empty_database

DEFAULT = SiloNames()
RENAMED = SiloNames(table="offline", mid="nr", src_addr="sender", body="content", callid="call", status="state")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with empty_database(request, request.param, tmp_path) as place:
        yield place


def test_head_is_the_last_migration() -> None:
    """The start of a server compares with the constant, without loading alembic."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


@pytest.mark.parametrize("names", [DEFAULT, RENAMED], ids=["default", "renamed"])
def test_a_fresh_database_equals_all_migrations(place: Place, names: SiloNames) -> None:
    metadata = Tables(names).metadata

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": differs_in_type}
        )
        return list(compare_metadata(context, metadata))

    def make_again(connection: Connection) -> None:
        metadata.drop_all(connection)
        metadata.create_all(connection)

    async def scenario() -> None:
        await init(place.url, names)
        assert not (await check(place.url, names)).problems
        async with connect(place.url) as access:
            assert await access.run(differences) == []
            migrated = await access.run(reflected, names)
            await access.run(make_again)
            assert migrated == await access.run(reflected, names)
        schema = await open_schema(place.url, names)
        assert schema.names == names
        assert set(schema.columns) == set(Tables().silo.c.keys())
        with pytest.raises(SchemaError, match=f"table {names.table} exists already and has all"):
            await init(place.url, names)
        assert await upgrade(place.url, names) == []

    asyncio.run(scenario())


def where(index: Mapping[str, Any]) -> str:
    """What a partial index is for."""
    return str([str(value) for name, value in index.get("dialect_options", {}).items() if name.endswith("_where")])


def differs_in_type(_: object, __: object, ___: object, there: object, ours: object) -> bool | None:
    """Leave the answer to alembic, which does not know that MySQL's FLOAT(53) is its DOUBLE."""
    return False if isinstance(ours, Float) and isinstance(there, mysql.DOUBLE) else None


def reflected(connection: Connection, names: SiloNames) -> dict[str, object]:
    """All that the database tells about the tables."""
    inspector = inspect(connection)
    return {
        table: [
            [{**column, "type": repr(column["type"])} for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table),
            sorted(f"{index['name']} {index['column_names']} {where(index)}" for index in inspector.get_indexes(table)),
            inspector.get_table_options(table),
        ]
        for table in Tables(names).metadata.tables
    }


def test_an_empty_database_is_told_with_the_command(place: Place) -> None:
    if place.kind == "sqlite":
        Path(place.url.removeprefix("sqlite:///")).touch()

    async def scenario() -> None:
        with pytest.raises(SchemaError, match="there is no table silo; type: sipsilo db init"):
            await check_schema(place.url, DEFAULT)
        with pytest.raises(SchemaError, match="type: sipsilo db init"):
            await upgrade(place.url, DEFAULT)

    asyncio.run(scenario())


@pytest.mark.parametrize("script", [OPENSIPS, KAMAILIO], ids=["opensips", "kamailio"])
def test_a_foreign_silo_gets_what_it_lacks_and_no_more(place: Place, script: dict[str, str]) -> None:
    place.run_script(script[place.kind])
    place.execute(
        PLAIN_INSERT, "sip:a@example.org", "sip:bob@example.org", "bob", "example.org", 5, 9, 0, "text/plain", b"\0\xff"
    )

    async def types() -> dict[str, str]:
        async with connect(place.url) as access:
            return await access.run(
                lambda connection: {
                    column["name"]: f"{column['type']!r} {column['nullable']} {column['default']}"
                    for column in inspect(connection).get_columns("silo")
                }
            )

    async def scenario() -> None:
        with pytest.raises(SchemaError, match="exists already; type: sipsilo db upgrade"):
            await init(place.url, DEFAULT)
        before = await types()
        if place.kind != "sqlite":
            with pytest.raises(SchemaError, match="type: sipsilo db upgrade"):
                await open_schema(place.url, DEFAULT)
        assert await upgrade(place.url, DEFAULT)
        finding = await check(place.url, DEFAULT)
        assert (finding.problems, finding.names.mid) == ([], "id")
        after = await types()
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= {"ctype", "callid"}
        for name in changed:
            assert after[name].replace("255", "32") == before[name].replace("128", "32")
        assert await upgrade(place.url, DEFAULT) == []
        schema = await open_schema(place.url, DEFAULT)
        assert schema.names.mid == "id"
        assert schema.columns["ctype"].size == schema.columns["callid"].size == 255
        assert schema.columns["extra_hdrs"].is_text == (script is KAMAILIO)

    asyncio.run(scenario())
    # its own program goes on
    place.execute(
        PLAIN_INSERT, "sip:a@example.org", "sip:bob@example.org", "bob", "example.org", 6, 9, 0, "text/plain", b""
    )
    rows = place.execute("SELECT id, username, inc_time, body, src_name, attempts, next_try FROM silo ORDER BY id")
    assert [tuple(row) for row in rows] == [(1, "bob", 5, b"\0\xff", None, 0, 0), (2, "bob", 6, b"", None, 0, 0)]


def test_the_owners_index_of_kamailio_is_as_good_as_ours(place: Place) -> None:
    place.run_script(KAMAILIO[place.kind])

    async def scenario() -> set[str | None]:
        await upgrade(place.url, DEFAULT)
        async with connect(place.url) as access:
            return await access.run(
                lambda connection: {index["name"] for index in inspect(connection).get_indexes("silo")}
            )

    indexes = asyncio.run(scenario())
    assert {"silo_expiry", "silo_pending"} < indexes
    assert "silo_owner" not in indexes


def test_another_silo_may_be_chosen_later(place: Place) -> None:
    async def scenario() -> None:
        await init(place.url, DEFAULT)
        place.run_script(OPENSIPS[place.kind].replace("silo", "offline"))
        other = SiloNames(table="offline")
        assert (await check(place.url, other)).command == "upgrade"
        await upgrade(place.url, other)
        assert not (await check(place.url, other)).problems
        assert not (await check(place.url, DEFAULT)).problems

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (SiloNames(body="payload"), "table silo has no column payload; accepted: sc_body with its name there"),
        (SiloNames(src_addr="sender"), "has no column sender; accepted: sc_from with its name there"),
        (SiloNames(mid="number"), "has no column number; accepted: sc_mid with the name of its number"),
    ],
)
def test_what_is_no_silo_is_left_alone(place: Place, names: SiloNames, problem: str) -> None:
    place.run_script(OPENSIPS[place.kind])

    async def scenario() -> None:
        for work in (check, upgrade, init, open_schema, check_schema):
            with pytest.raises(SchemaError, match=problem):
                await work(place.url, names)

    asyncio.run(scenario())


def test_tables_of_a_newer_sipsilo_are_left_alone(place: Place) -> None:
    async def scenario() -> None:
        await init(place.url, DEFAULT)
        place.execute(f"UPDATE {VERSION_TABLE} SET version_num='9999'")
        with pytest.raises(SchemaError, match="version 9999, of a newer sipsilo"):
            await upgrade(place.url, DEFAULT)

    asyncio.run(scenario())


def test_a_migration_that_was_interrupted_is_run_again(place: Place) -> None:
    async def scenario() -> None:
        await init(place.url, DEFAULT)
        place.execute("DROP TABLE sipsilo_statistics")
        place.execute("DROP TABLE sipsilo_claim")
        finding = await check(place.url, DEFAULT)
        assert finding.problems == ["there is no table sipsilo_claim", "there is no table sipsilo_statistics"]
        await upgrade(place.url, DEFAULT)
        assert not (await check(place.url, DEFAULT)).problems

    asyncio.run(scenario())


def test_an_unreachable_server_is_told_in_one_line(place: Place) -> None:
    if place.kind == "sqlite":
        pytest.skip("has no server")
    host = place.url.rpartition("@")[2]
    wrong = {
        place.url.replace(host, "127.0.0.1:1/db"): "cannot connect: Connection refused$",
        place.url.rpartition("/")[0] + "/nowhere": "nowhere",
        place.url.replace("root@", "nobody:hush@").replace("postgres@", "nobody:hush@"): "nobody",
    }

    async def scenario() -> None:
        for url, problem in wrong.items():
            with pytest.raises(DatabaseError, match=problem) as raised:
                await check(url, DEFAULT)
            assert "\n" not in str(raised.value)
            assert "hush" not in str(raised.value)

    asyncio.run(scenario())


def test_sqlite_files_are_made_at_the_start_only(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/silo.db"

    async def scenario() -> None:
        with pytest.raises(DatabaseError, match="No such file"):
            await check(url, DEFAULT)
        assert not (tmp_path / "new").exists()
        first = await open_schema(url, DEFAULT)
        assert await open_schema(url, DEFAULT) == first
        async with connect(url) as access:
            assert await access.run(lambda connection: look(connection, DEFAULT).problems) == []
            silo = Tables().silo
            assert await access.run(lambda connection: connection.execute(select(silo)).all()) == []

    asyncio.run(scenario())


def test_two_servers_start_at_once_on_one_new_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/silo.db"

    program = "import sys, asyncio; from sipsilo.storage.administration import *; from sipsilo.storage.tables import *;"
    program += "asyncio.run(open_schema(sys.argv[1], SiloNames()))"
    starts = [subprocess.Popen([sys.executable, "-c", program, url]) for _ in range(4)]
    assert [start.wait(60) for start in starts] == [0] * 4
