"""The tables of the first release; a silo of OpenSIPS or Kamailio gets the columns and indexes that it lacks."""

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Inspector,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    literal_column,
    or_,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from sipsilo.storage.tables import SiloNames

revision = "0001"
down_revision = None

_Id = BigInteger().with_variant(Integer(), "sqlite")
_Bytes = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}


def upgrade() -> None:
    """Make what is missing; touch no row."""
    context = op.get_context()
    assert context.config is not None
    names: SiloNames = context.config.attributes["names"]
    connection = op.get_bind()
    for table in _tables(names).sorted_tables:
        if not inspect(connection).has_table(table.name):
            table.create(connection)
        elif table.name == names.table:
            _complete_silo(connection, names, table)


def _complete_silo(connection: Connection, names: SiloNames, silo: Table) -> None:
    inspector = inspect(connection)
    found: dict[str, Any] = {column["name"]: column for column in inspector.get_columns(silo.name)}
    for column in _columns(names):
        if column.name not in found:
            op.add_column(silo.name, column)
    for name in (names.ctype, names.callid):
        if name in found:
            _widen(connection, silo.name, found[name])
    _make_indexes(connection, inspector, silo)


def _widen(connection: Connection, table: str, column: dict[str, Any]) -> None:
    """To 255 characters; all else of the column stays as it is. SQLite's lengths mean nothing."""
    kind: TypeEngine[Any] = column["type"]
    length = getattr(kind, "length", None)
    if connection.dialect.name == "sqlite" or length is None or length >= 255:
        return
    wide = kind.copy() if isinstance(kind, String) else String()
    wide.length = 255
    default: str | None = column["default"]
    op.alter_column(
        table,
        column["name"],
        type_=wide,
        existing_type=kind,
        existing_nullable=column["nullable"],
        existing_server_default=None if default is None else text(default),
    )


def _make_indexes(connection: Connection, inspector: Inspector, silo: Table) -> None:
    """Those that serve what none of the table's own does."""
    there = [index["column_names"] for index in inspector.get_indexes(silo.name)]
    for index in silo.indexes:
        columns = [column.name for column in index.columns]
        if not any(found[: len(columns)] == columns for found in there):
            index.create(connection)


def _tables(names: SiloNames) -> MetaData:
    """The tables as they are at this revision, whatever becomes of them later."""
    metadata = MetaData()
    silo = Table(names.table, metadata, *_columns(names), sqlite_autoincrement=True, **_MYSQL)
    Index(f"{names.table}_owner", silo.c[names.username], silo.c[names.domain])
    Index(f"{names.table}_expiry", silo.c[names.exp_time])
    snd_time = silo.c[names.snd_time]
    pending = or_(silo.c.next_try != literal_column("0"), snd_time != literal_column("0"))
    Index(f"{names.table}_pending", silo.c.next_try, snd_time, sqlite_where=pending, postgresql_where=pending)
    location = Table(
        "sipsilo_location",
        metadata,
        Column("username", _text(64), primary_key=True),
        Column("domain", _text(64), primary_key=True),
        Column("contact", _text(512), primary_key=True),
        Column("q", Float(53), nullable=False),
        Column("expires_at", Float(53), nullable=False),
        Column("registered_at", Float(53), nullable=False),
        Column("call_id", _text(255), nullable=False),
        Column("cseq", BigInteger, nullable=False),
        Column("path", Text, nullable=False),
        Column("methods", _text(255)),
        Column("received", _text(128), nullable=False),
        **_MYSQL,
    )
    Index("sipsilo_location_expiry", location.c.expires_at)
    claim = Table(
        "sipsilo_claim",
        metadata,
        Column("username", _text(64), primary_key=True),
        Column("domain", _text(64), primary_key=True),
        Column("node", _text(128), nullable=False),
        Column("until", Float(53), nullable=False),
        **_MYSQL,
    )
    Index("sipsilo_claim_node", claim.c.node)
    Table(
        "sipsilo_meta",
        metadata,
        Column("name", _text(64), primary_key=True),
        Column("value", _text(255), nullable=False),
        **_MYSQL,
    )
    Table(
        "sipsilo_statistics",
        metadata,
        Column("node", _text(128), primary_key=True),
        Column("name", _text(64), primary_key=True),
        Column("value", BigInteger, nullable=False),
        **_MYSQL,
    )
    return metadata


def _columns(names: SiloNames) -> list[Column[Any]]:
    return [
        Column(names.mid, _Id, primary_key=True, autoincrement=True),
        Column(names.src_addr, _text(255), nullable=False, server_default=""),
        Column(names.dst_addr, _text(255), nullable=False, server_default=""),
        Column(names.username, _text(64), nullable=False, server_default=""),
        Column(names.domain, _text(64), nullable=False, server_default=""),
        Column(names.inc_time, BigInteger, nullable=False, server_default="0"),
        Column(names.exp_time, BigInteger, nullable=False, server_default="0"),
        Column(names.snd_time, BigInteger, nullable=False, server_default="0"),
        Column(names.ctype, _text(255), nullable=False, server_default="text/plain"),
        Column(names.body, _Bytes),
        Column(names.extra_hdrs, _Bytes),
        Column(names.callid, _text(255)),
        Column(names.status, Integer),
        Column("src_name", _text(255)),
        Column("dst_name", _text(255)),
        Column("orig_time", BigInteger),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("next_try", BigInteger, nullable=False, server_default="0"),
        Column("last_status", Integer),
    ]


def _text(length: int) -> String:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")
