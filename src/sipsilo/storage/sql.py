"""Small pieces of SQL that several topics share."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Slices of 64, 32, … 1 items: few sizes, so that each size's statement is prepared once.

    One statement for many rows leaves Python's lock once, not once a row.
    """
    start, size = 0, 64
    while start < len(items):
        while size > len(items) - start:
            size //= 2
        yield items[start : start + size]
        start += size


def rows_of_marks(rows: int, columns: int) -> str:
    """`(?,?),(?,?)` for two rows of two columns."""
    row = f"({','.join('?' * columns)})"
    return ",".join([row] * rows)
