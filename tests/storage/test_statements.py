"""Statements as drivers take them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, select

from sipsilo.storage.connection import Insert
from sipsilo.storage.statements import Statements, chunks
from sipsilo.storage.tables import SiloNames, Tables

SILO = Tables(SiloNames(table="offline", mid="id", username="user")).silo


@given(st.integers(0, 1000))
def test_chunks_are_all_items_in_few_sizes(count: int) -> None:
    slices = list(chunks(range(count)))
    assert [item for piece in slices for item in piece] == list(range(count))
    assert {len(piece) for piece in slices} <= {256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1}
    assert len(slices) <= count // 256 + 6


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("sqlite", "SELECT offline.id FROM offline WHERE offline.user = ? LIMIT ? OFFSET ?"),
        ("mysql.asyncmy", "SELECT offline.id FROM offline WHERE offline.user = %s LIMIT %s"),
        ("postgresql.asyncpg", 'SELECT offline.id FROM offline WHERE offline."user" = $1::VARCHAR LIMIT $2'),
    ],
)
def test_statement_has_the_operators_names_and_its_values_in_order(dialect: str, sql: str) -> None:
    statement = select(SILO.c.mid).where(SILO.c.username == bindparam("user")).limit(bindparam("limit"))
    prepared = Statements(dialect).prepare(statement)
    assert " ".join(prepared.sql.split()) == sql
    assert prepared.arguments({"limit": 7, "user": "bob", "other": 1})[:2] == ["bob", 7]


@pytest.mark.parametrize(("dialect", "marks"), [("sqlite", "(?, ?), (?, ?)"), ("mysql.asyncmy", "(%s, %s), (%s, %s)")])
def test_rows_are_inserted_with_one_statement(dialect: str, marks: str) -> None:
    sql = Statements(dialect).insert(Insert(SILO, ("mid", "body")), 2)
    assert sql == f"INSERT INTO offline (id, body) VALUES {marks}"
