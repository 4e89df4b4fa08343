"""dbtext files: what OpenSIPS and Kamailio write is read, and what we write is what they read."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.storage.access import DatabaseError
from sipsilo.storage.dbtext import DbtextSource, DbtextTarget, columns_of, line_of, values_of
from sipsilo.storage.rows import KEYS, Progress, Row

OPENSIPS = "id(int,auto) src_addr(str) dst_addr(str) username(str) domain(str) inc_time(int) exp_time(int) "
OPENSIPS += "snd_time(int) ctype(str) body(str)\n"
KAMAILIO = "id(int,auto) src_addr(string) dst_addr(string) username(string) domain(string) inc_time(int) "
KAMAILIO += (
    "exp_time(int) snd_time(int) ctype(string) body(string,null) extra_hdrs(string,null) callid(string) status(int) \n"
)


def read(directory: Path) -> Sequence[Row]:
    source = DbtextSource(str(directory))
    try:
        source.open()
        return asyncio.run(source.read(0, 2**62, 1000))
    finally:
        source.close()


def write(directory: Path, text: bytes | str) -> None:
    (directory / "silo").write_bytes(text if isinstance(text, bytes) else text.encode())


def row(**values: object) -> Row:
    return {**dict.fromkeys(KEYS), **values}


@pytest.mark.parametrize(
    "header", [OPENSIPS, KAMAILIO, OPENSIPS.strip(), "a(long)  b( Str , Null )  c(blob) d(double)"]
)
def test_first_lines(header: str) -> None:
    assert columns_of(header)[:2] in (["id", "src_addr"], ["a", "b"])


@pytest.mark.parametrize("header", ["", "\n", "id", "id(int", "id(int) 5", "id(x)", "1:2:3", "SQLite format 3"])
def test_what_is_no_first_line(header: str) -> None:
    with pytest.raises(ValueError, match=r"first line|unknown type"):
        columns_of(header)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (b"1:a:b", [b"1", b"a", b"b"]),
        (b"1::", [b"1", b"", b""]),
        (rb"1:sip\:bob@example.org:a\\b\n\r\t\0", [b"1", b"sip:bob@example.org", b"a\\b\n\r\t\0"]),
        (rb"\::\\", [b":", b"\\"]),
        (b"\xff\\:\xc3", [b"\xff:\xc3"]),
    ],
)
def test_rows(line: bytes, values: list[bytes]) -> None:
    assert values_of(line) == values
    assert line_of(values) == line + b"\n"


@pytest.mark.parametrize("line", [rb"a\x:b", b"a:b\\"])
def test_bad_escapes(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"escape|backslash"):
        values_of(line)


@given(st.lists(st.binary(max_size=20), min_size=1))
def test_every_value_comes_back(values: list[bytes]) -> None:
    line = line_of(values)
    assert line.count(b"\n") == 1
    assert values_of(line.removesuffix(b"\n")) == values


def test_rows_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write(
        tmp_path,
        OPENSIPS + "7:sip\\:a@x:sip\\:b@x:b:x:1:2:0:text/plain:late\n\n"
        "3:sip\\:a@x:sip\\:b@x:b:x:1:2:0::a\\:b\\n\n10:sip\\:a@x:sip\\:b@x:b:x:1:2:0:text/plain:no newline",
    )
    rows = read(tmp_path)
    common = {"src_addr": "sip:a@x", "dst_addr": "sip:b@x", "username": "b", "domain": "x"}
    common |= {"inc_time": 1, "exp_time": 2, "snd_time": 0}
    assert rows == [
        row(mid=3, body=b"a:b\n", **common),
        row(mid=7, ctype="text/plain", body=b"late", **common),
        row(mid=10, ctype="text/plain", body=b"no newline", **common),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense\n", r"silo:1: the first line is not one of dbtext"),
        ("id(int) body(str)\n", r"silo:1: there is no column dst_addr"),
        (OPENSIPS + "1:a\n", r"silo:2: 2 values for 10 columns"),
        (OPENSIPS + "\n\nx:a:b:b:x:1:2:0:t:b\n", r"silo:4: invalid literal for int"),
        (OPENSIPS + ":a:b:b:x:1:2:0:t:b\n", r"silo:2: a row without a number"),
        (OPENSIPS + "1:a:b:b:x:1:2:0:t:\\q\n", r"silo:2: unknown escape"),
        (OPENSIPS + "1:a:b:b:x:1:2:0:t:b\n1:a:b:b:x:1:2:0:t:b\n", r"two rows have the number 1"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, problem: str) -> None:
    write(tmp_path, text)
    with pytest.raises(DatabaseError, match=problem):
        read(tmp_path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"nowhere/silo: No such file"):
        read(tmp_path / "nowhere")


MESSAGE = row(
    mid=5, src_addr="sip:a@x", dst_addr="sip:ü@x", username="%C3%BC", domain="x", inc_time=1, exp_time=2**40,
    snd_time=0, ctype="text/plain", body=b"\0\xff:\\\n", extra_hdrs=b"Subject: a\r\nX: b",
    callid="c@d", src_name='"A: \\"',
    attempts=2, next_try=2**62, last_status=408,
)  # fmt: skip


def export(directory: Path, rows: Sequence[Row], *, until: int | None = None, again: bool = False) -> Progress:
    """Write the rows that an earlier one has not written, two at a time; with `until`, give up there."""
    target = DbtextTarget(str(directory))

    async def scenario() -> Progress:
        progress = await target.begin("source", again)
        rest = [each for each in rows if each["mid"] > progress.last]
        while rest and (until is None or progress.last < until):
            progress = await target.write(rest[:2], progress, lambda _, __: None)
            rest = rest[2:]
        if until is None:
            await target.end()
        return progress

    try:
        return asyncio.run(scenario())
    finally:
        target.close()


def test_what_we_write_comes_back(tmp_path: Path) -> None:
    export(tmp_path / "new", [MESSAGE])
    assert read(tmp_path / "new") == [MESSAGE]


def test_an_interrupted_export_goes_on(tmp_path: Path) -> None:
    rows = [{**MESSAGE, "mid": mid} for mid in range(1, 8)]
    assert export(tmp_path, rows, until=4) == Progress(4, 4, 0)
    with (tmp_path / "silo").open("ab") as file:
        file.write(b"5:half a li")  # what a crash leaves behind the last note
    assert export(tmp_path, rows) == Progress(7, 7, 0)
    assert [each["mid"] for each in read(tmp_path)] == [1, 2, 3, 4, 5, 6, 7]
    assert [file.name for file in tmp_path.iterdir()] == ["silo"]


def test_an_interrupted_export_may_begin_again(tmp_path: Path) -> None:
    rows = [{**MESSAGE, "mid": mid} for mid in range(1, 5)]
    export(tmp_path, rows, until=2)
    assert export(tmp_path, rows[2:], again=True) == Progress(4, 2, 0)
    assert [each["mid"] for each in read(tmp_path)] == [3, 4]


def test_messages_of_others_are_never_overwritten(tmp_path: Path) -> None:
    write(tmp_path, OPENSIPS + "1:a:b:b:x:1:2:0:t:b\n")
    for again in (False, True):
        with pytest.raises(DatabaseError, match="has messages already; export to another directory"):
            export(tmp_path, [MESSAGE], again=again)
    assert len(read(tmp_path)) == 1


def test_an_empty_table_of_kamailio_may_be_filled(tmp_path: Path) -> None:
    write(tmp_path, KAMAILIO)
    export(tmp_path, [MESSAGE])
    assert read(tmp_path) == [MESSAGE]
