"""dbtext: a table as a text file, which OpenSIPS and Kamailio (module db_text) read at their start.

The first line names the columns with their types, with spaces between them: `id(int,auto) src_addr(string) …`. The
types are int, long (OpenSIPS), str, string, blob, double and time, told by their first letter. Each other line is a
row, with colons between the values. An empty value is NULL. Backslash escapes: `\\n \\r \\t \\\\ \\: \\0`.
"""

import json
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

from sipsilo.storage.access import DatabaseError
from sipsilo.storage.rows import BYTES, KEYS, NUMBERS, Progress, Refuse, Row

READABLE = 4095
"""Bytes of a value that OpenSIPS reads; Kamailio too, unless its parameter file_buffer_size says more."""

# Kamailio's columns in its order, then ours. An empty text is a NULL here, so every text may be one. next_try may be
# more than the int of the C modules holds.
_HEADER = (
    b"id(int,auto) src_addr(string,null) dst_addr(string,null) username(string,null) domain(string,null) "
    b"inc_time(int) exp_time(int) snd_time(int) ctype(string,null) body(string,null) extra_hdrs(string,null) "
    b"callid(string,null) status(int,null) src_name(string,null) dst_name(string,null) orig_time(int,null) "
    b"attempts(int) next_try(string) last_status(int,null)\n"
)
_COLUMN = re.compile(r"([^\s()]+) *\( *([A-Za-z])[^,()]*(?:, *[NnAa][^()]*)?\)")
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b":": b":", b"0": b"\0"}
_ESCAPED = {character: b"\\" + letter for letter, character in _ESCAPES.items()}
_TO_ESCAPE = re.compile(rb"[\n\r\t\\:\0]")
_ESCAPE = re.compile(rb"\\(.?)", re.S)
_VALUE = re.compile(rb"((?:[^:\\]|\\.)*)(:|$)", re.S)


def columns_of(header: str) -> list[str]:
    """The names in a first line, in order. Raises ValueError."""
    text = header.strip(" \n")
    columns = _COLUMN.findall(text)
    if not columns or _COLUMN.sub("", text).strip(" "):
        raise ValueError("the first line is not one of dbtext, such as: id(int,auto) src_addr(string)")
    if wrong := [name for name, kind in columns if kind.lower() not in "silbdt"]:
        raise ValueError(f"column {wrong[0]} has an unknown type; accepted: int, long, str, string, blob, double, time")
    return [name for name, _ in columns]


def values_of(line: bytes) -> list[bytes]:
    """The values of a row, without its newline. Raises ValueError."""
    if b"\\" not in line:
        return line.split(b":")
    values, end, colon = [], 0, b":"
    while colon:
        match = _VALUE.match(line, end)
        if match is None:
            raise ValueError("a backslash with nothing behind it")
        values.append(_ESCAPE.sub(_unescaped, match[1]))
        end, colon = match.end(), match[2]
    return values


def _unescaped(match: re.Match[bytes]) -> bytes:
    try:
        return _ESCAPES[match[1]]
    except KeyError:
        raise ValueError(f"unknown escape {match[0].decode('latin-1')}") from None


def line_of(values: Sequence[bytes]) -> bytes:
    """A row with its newline."""
    return b":".join(_TO_ESCAPE.sub(lambda match: _ESCAPED[match[0]], value) for value in values) + b"\n"


class DbtextSource:
    """The silo in a dbtext directory. The whole file is looked through at first, and its rows found by number."""

    def __init__(self, directory: str) -> None:
        self.identity = f"text://{os.path.abspath(directory)}"
        self._path = Path(directory) / "silo"
        self._file: BinaryIO | None = None
        self._columns: list[str] = []
        self._rows: list[tuple[int, int]] = []

    def open(self) -> None:
        """Look through the file. Raises DatabaseError for a file that is none of dbtext."""
        try:
            self._file = self._path.open("rb")
            self._columns = _keys(columns_of(self._file.readline().decode("utf-8", "surrogateescape")))
        except OSError as error:
            raise DatabaseError(f"{self._path}: {error.strerror}") from None
        except ValueError as error:
            raise DatabaseError(f"{self._path}:1: {error}") from None
        self._rows = sorted(self._scan(self._file))
        for (mid, _), (following, _) in zip(self._rows, self._rows[1:], strict=False):
            if mid == following:
                raise DatabaseError(f"{self._path}: two rows have the number {mid}")

    def _scan(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        offset, number = file.tell(), 1
        for line in file:
            number += 1
            if line != b"\n":
                try:
                    yield self._row(line)["mid"], offset
                except ValueError as error:
                    raise DatabaseError(f"{self._path}:{number}: {error}") from None
            offset += len(line)

    def _row(self, line: bytes) -> Row:
        values = values_of(line.removesuffix(b"\n"))
        if len(values) == len(self._columns) + 1 and not values[-1]:
            values.pop()  # a colon at the end is taken by the C modules too
        if len(values) != len(self._columns):
            raise ValueError(f"{len(values)} values for {len(self._columns)} columns")
        row: Row = dict.fromkeys(KEYS)
        row.update({key: _value(key, value) for key, value in zip(self._columns, values, strict=True) if key in row})
        if row["mid"] is None:
            raise ValueError("a row without a number")
        return row

    async def last(self) -> int:
        """The highest number."""
        return self._rows[-1][0] if self._rows else 0

    async def count(self, after: int, until: int) -> int:
        """How many messages have a number above `after`, up to `until`."""
        return self._place(until) - self._place(after)

    async def read(self, after: int, until: int, limit: int) -> Sequence[Row]:
        """The first of them, in the order of their numbers."""
        assert self._file is not None
        rows = []
        for _, offset in self._rows[self._place(after) : self._place(until)][:limit]:
            self._file.seek(offset)
            rows.append(self._row(self._file.readline()))
        return rows

    def _place(self, mid: int) -> int:
        """How many numbers are not above this one."""
        return bisect_right(self._rows, mid, key=lambda row: row[0])

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _keys(columns: Sequence[str]) -> list[str]:
    number = "mid" if "mid" in columns else "id"
    keys = ["mid" if name == number else name for name in columns]
    lacking = [key for key in ("mid", "dst_addr", "username", "domain", "body") if key not in keys]
    if lacking:
        raise ValueError(f"there is no column {'id' if lacking[0] == 'mid' else lacking[0]}")
    return keys


def _value(key: str, value: bytes) -> Any:
    if not value:
        return None
    if key in NUMBERS:
        return int(value)
    return value if key in BYTES else value.decode("utf-8", "surrogateescape")


class DbtextTarget:
    """A dbtext directory that the silo is written to. What is written is noted beside it until all is."""

    def __init__(self, directory: str) -> None:
        self.identity = f"text://{os.path.abspath(directory)}"
        self._path = Path(directory) / "silo"
        self._state = Path(directory) / ".silo.sipsilo-export"
        self._source = ""
        self._file: BinaryIO | None = None
        self._rows = 0
        self.long_values = 0
        """Messages with a value that the C modules do not read."""

    async def begin(self, source: str, again: bool) -> Progress:
        """Open the file; how far an interrupted export of this source came. Raises DatabaseError."""
        self._source = source
        with _told(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._state.exists() and self._has_rows():
                raise DatabaseError(f"{self._path}: has messages already; export to another directory")
            return self._interrupted() if self._state.exists() and not again else self._start()

    def _interrupted(self) -> Progress:
        state: Mapping[str, Any] = json.loads(self._state.read_text())
        if state["source"] != self._source:
            raise DatabaseError(f"{self._path}: holds a part of {state['source']}; export to another directory")
        self._file = self._path.open("r+b")
        self._file.truncate(state["size"])
        self._file.seek(0, os.SEEK_END)
        progress = Progress(**state["progress"])
        self._rows = progress.copied
        return progress

    def _has_rows(self) -> bool:
        if not self._path.exists():
            return False
        with self._path.open("rb") as file:
            return bool(file.readline() and file.readline())

    def _start(self) -> Progress:
        progress = Progress()
        self._file = self._path.open("wb")
        self._file.write(_HEADER)
        self._note(progress)
        return progress

    async def count(self) -> int:
        """How many messages the export holds."""
        return self._rows

    async def write(self, rows: Sequence[Row], progress: Progress, refuse: Refuse) -> Progress:
        """Add rows, and note how far we are. It takes everything."""
        assert self._file is not None
        progress = replace(progress, last=rows[-1]["mid"], copied=progress.copied + len(rows))
        with _told(self._path):
            for row in rows:
                values = [_text(row[key]) for key in KEYS]
                self.long_values += any(len(value) > READABLE for value in values)
                self._file.write(line_of(values))
            self._note(progress)
        self._rows += len(rows)
        return progress

    def _note(self, progress: Progress) -> None:
        """What is behind the size noted here is cut off when the export goes on."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        state = {"source": self._source, "size": self._file.tell(), "progress": asdict(progress)}
        new = self._state.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._state)

    async def end(self) -> None:
        """The export is whole."""
        self._state.unlink()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _text(value: object) -> bytes:
    if value is None:
        return b""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from None
