"""The pieces of SQL."""

from hypothesis import given
from hypothesis import strategies as st

from sipsilo.storage.sql import chunks, rows_of_marks


@given(st.integers(0, 1000))
def test_chunks_are_all_items_in_few_sizes(count: int) -> None:
    slices = list(chunks(range(count)))
    assert [item for piece in slices for item in piece] == list(range(count))
    assert {len(piece) for piece in slices} <= {64, 32, 16, 8, 4, 2, 1}
    assert len(slices) <= count // 64 + 6


def test_rows_of_marks() -> None:
    assert rows_of_marks(2, 3) == "(?,?,?),(?,?,?)"
    assert rows_of_marks(1, 1) == "(?)"
