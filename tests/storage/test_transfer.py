"""Copying messages between databases of all kinds."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sipsilo.storage.access import DatabaseError
from sipsilo.storage.administration import init, upgrade
from sipsilo.storage.rows import KEYS, Progress, Row
from sipsilo.storage.schema import SchemaError
from sipsilo.storage.tables import SiloNames
from sipsilo.storage.transfer import BATCH, Report, copy, open_source, open_target
from tests.storage.foreign import KAMAILIO, OPENSIPS, PLAIN_INSERT
from tests.storage.kinds import KINDS, Place, empty_database

DEFAULT = SiloNames()
PAIRS = [(source, target) for source in (*KINDS, "dbtext") for target in (*KINDS, "dbtext") if source != target]
PAIRS += [("sqlite", "sqlite"), ("mariadb", "mariadb")]


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Place]]:
    """Empty databases of the kinds of the parameter."""
    with ExitStack() as stack:
        found = []
        for number, kind in enumerate(request.param):
            directory = tmp_path / str(number)
            directory.mkdir()
            if kind == "dbtext":
                found.append(Place(kind, f"text://{directory}"))
            else:
                found.append(stack.enter_context(empty_database(request, kind, directory)))
        yield found


def message(mid: int, **values: object) -> Row:
    row: Row = dict.fromkeys(KEYS)
    row |= {"mid": mid, "src_addr": "sip:alice@example.org", "dst_addr": "sip:bob@example.org", "username": "bob"}
    row |= {"domain": "example.org", "inc_time": 1_790_000_000, "exp_time": 1_790_000_600, "snd_time": 0}
    row |= {"ctype": "text/plain;charset=UTF-8", "body": f"Nummer {mid} ü".encode(), "attempts": 0, "next_try": 0}
    return row | values


ALL_COLUMNS = [
    message(1),
    message(3, body=bytes(range(256)), extra_hdrs=b"Subject: x: y\r\nX-Y: \xc3\xbc", callid="a@b", status=1),
    message(
        4, src_name='"Älice: \\"', dst_name="Bob", orig_time=1_789_999_999, attempts=3, next_try=2**62, last_status=603
    ),
    message(9, body=None, snd_time=1_799_999_999, next_try=1_799_999_999),
]


async def put(url: str, rows: list[Row]) -> None:
    async with open_target(url, DEFAULT) as target:
        progress = await target.begin("nowhere", False)
        await target.write(rows, progress, lambda mid, why: pytest.fail(f"{mid}: {why}"))
        await target.end()


async def get(url: str) -> list[Row]:
    async with open_source(url, DEFAULT) as source:
        return list(await source.read(0, 2**62, 100_000))


async def move(source: str, target: str, refused: list[str] | None = None, again: bool = False) -> Report:
    refusals = [] if refused is None else refused
    async with open_source(source, DEFAULT) as from_, open_target(target, DEFAULT) as to:
        return await copy(from_, to, lambda mid, why: refusals.append(f"{mid}: {why}"), lambda _, __: None, again=again)


def without_numbers(rows: list[Row]) -> list[Row]:
    return [{**row, "mid": None} for row in rows]


async def make(place: Place) -> None:
    if place.kind != "dbtext":
        await init(place.url, DEFAULT)


@pytest.mark.parametrize("places", PAIRS, indirect=True, ids="-".join)
def test_all_columns_are_kept_and_the_order(places: list[Place]) -> None:
    async def scenario() -> None:
        source, target = places
        for place in places:
            await make(place)
        await put(source.url, ALL_COLUMNS)
        report = await move(source.url, target.url)
        assert (report.copied, report.refused, report.expected, report.added) == (4, 0, 4, 4)
        assert report.is_exact
        copied = await get(target.url)
        assert without_numbers(copied) == without_numbers(ALL_COLUMNS)
        numbers = [row["mid"] for row in copied]
        assert numbers == sorted(set(numbers))

    asyncio.run(scenario())


@pytest.mark.parametrize("places", [(kind, "sqlite") for kind in KINDS], indirect=True, ids="-".join)
@pytest.mark.parametrize("script", [OPENSIPS, KAMAILIO], ids=["opensips", "kamailio"])
def test_a_foreign_silo_is_read_as_it_is(places: list[Place], script: dict[str, str]) -> None:
    source, target = places
    source.run_script(script[source.kind])
    for number in range(3):
        source.execute(PLAIN_INSERT, "sip:a@x", "sip:b@x", "b", "x", 5, 9, 0, "text/plain", b"%d\xff" % number)

    async def scenario() -> None:
        assert (await move(source.url, target.url)).copied == 3
        copied = await get(target.url)
        assert [row["body"] for row in copied] == [b"0\xff", b"1\xff", b"2\xff"]
        assert {(row["next_try"], row["attempts"], row["src_name"]) for row in copied} == {(0, 0, None)}

    asyncio.run(scenario())
    columns = source.execute("SELECT * FROM silo")[0]
    assert len(columns) == (10 if script is OPENSIPS else 13)


@pytest.mark.parametrize("places", [("sqlite", kind) for kind in KINDS], indirect=True, ids="-".join)
def test_what_was_copied_is_not_copied_again(places: list[Place]) -> None:
    source, target = places

    async def scenario() -> None:
        for place in places:
            await make(place)
        await put(source.url, [message(number) for number in range(1, BATCH + 51)])
        async with open_source(source.url, DEFAULT) as from_, open_target(target.url, DEFAULT) as to:
            # interrupted after a batch
            progress = await to.begin(from_.identity, False)
            rows = await from_.read(0, 2**62, BATCH)
            await to.write(rows, progress, lambda _, __: None)
        report = await move(source.url, target.url)
        assert (report.earlier.copied, report.copied, report.is_exact) == (BATCH, 50, True)
        assert [row["body"] for row in await get(target.url)] == [row["body"] for row in await get(source.url)]
        assert (await move(source.url, target.url)).copied == 0
        await put(source.url, [message(1, body=b"new")])
        assert (await move(source.url, target.url)).copied == 1
        assert (await move(source.url, target.url, again=True)).copied == BATCH + 51
        assert len(await get(target.url)) == 2 * (BATCH + 51)

    asyncio.run(scenario())


@pytest.mark.parametrize("places", [("dbtext", kind) for kind in KINDS], indirect=True, ids="-".join)
def test_what_does_not_fit_is_told_and_never_cut(places: list[Place]) -> None:
    source, target = places
    rows = [
        message(1),
        message(2, src_addr="s" * 256),
        message(3, username="ü" * 64),
        message(4, username="ü" * 65),
        message(5, callid="\udcff"),
        message(6, ctype="c" * 256, src_addr="t" * 256),
        message(7),
    ]

    async def scenario() -> None:
        await make(target)
        await put(source.url, rows)
        refused: list[str] = []
        report = await move(source.url, target.url, refused)
        assert refused == [
            "2: src_addr has 256 characters; the column holds 255",
            "4: username has 65 characters; the column holds 64",
            "5: callid is no text that the column holds",
            "6: src_addr has 256 characters; the column holds 255",
        ]
        assert (report.copied, report.refused, report.is_exact) == (3, 4, True)
        assert without_numbers(await get(target.url)) == without_numbers([rows[0], rows[2], rows[6]])
        assert (await move(source.url, target.url, refused)).progress == Progress(7, 3, 4)
        assert len(refused) == 4

    asyncio.run(scenario())


@pytest.mark.parametrize("places", [("dbtext", "mariadb"), ("dbtext", "postgresql")], indirect=True, ids="-".join)
def test_what_only_the_database_knows_not_to_fit_is_told_too(places: list[Place]) -> None:
    """Numbers beyond Kamailio's INT, letters that its character set does not have, bodies beyond its BLOB."""
    source, target = places
    target.run_script(KAMAILIO[target.kind])
    if target.kind == "mariadb":
        target.execute("ALTER TABLE silo CONVERT TO CHARACTER SET latin1")
        third = {"src_addr": "sip:漢@example.org"}
    else:
        third = {"callid": "a\0b"}
    rows = [message(1), message(2, exp_time=2**40), message(3, **third), message(4, extra_hdrs=b"\xff"), message(5)]
    if target.kind == "mariadb":
        rows.append(message(6, body=b"x" * 65_536))

    async def scenario() -> None:
        await upgrade(target.url, DEFAULT)
        await put(source.url, rows)
        refused: list[str] = []
        report = await move(source.url, target.url, refused)
        assert {line.partition(":")[0] for line in refused} == {str(row["mid"]) for row in rows} - {"1", "5"}
        assert report.is_exact
        assert [row["body"] for row in await get(target.url)] == [rows[0]["body"], rows[4]["body"]]

    asyncio.run(scenario())


@pytest.mark.parametrize("places", [("sqlite", "mariadb")], indirect=True, ids="-".join)
def test_mistakes(places: list[Place]) -> None:
    source, target = places

    async def scenario() -> None:
        await make(source)
        with pytest.raises(SchemaError, match="there is no table silo; type: sipsilo db init"):
            await move(source.url, target.url)
        with pytest.raises(SchemaError, match="there is no table silo"):
            await move(target.url, source.url)
        with pytest.raises(DatabaseError, match="source and target are the same"):
            await move(source.url, source.url)
        with pytest.raises(DatabaseError, match="No such file"):
            await move("sqlite:////nowhere/silo.db", source.url)

    asyncio.run(scenario())
