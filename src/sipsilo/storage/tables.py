"""The tables (SPEC.md chapter 5): OpenSIPS' silo with our delivery state, and our own.

The silo's name and its columns' names are the operator's choice (parameters db_table, sc_…); the code knows the
columns by their keys, which are the default names.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    literal_column,
    or_,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

_Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in an INTEGER key
_Bytes = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")  # a BLOB ends at 64 KiB


def _text(length: int) -> String:
    """MySQL's own choice of collation takes bob for BOB (RFC 3261 §19.1.4 does not), and é for e."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


@dataclass(frozen=True)
class SiloNames:
    """What the silo's table and its columns are called in the database (guide chapter 1.3, sc_…)."""

    table: str = "silo"
    mid: str = "mid"
    src_addr: str = "src_addr"
    dst_addr: str = "dst_addr"
    username: str = "username"
    domain: str = "domain"
    body: str = "body"
    ctype: str = "ctype"
    exp_time: str = "exp_time"
    inc_time: str = "inc_time"
    snd_time: str = "snd_time"
    extra_hdrs: str = "extra_hdrs"
    callid: str = "callid"
    status: str = "status"


class Tables:
    """All tables, with the silo named as its operator has named it.

    `headers_are_text`: its column extra_hdrs holds text, as in Kamailio's table, not bytes, as in ours.
    """

    def __init__(self, names: SiloNames | None = None, *, headers_are_text: bool = False) -> None:
        self.names = names or SiloNames()
        self.headers_are_text = headers_are_text
        self.metadata = MetaData()
        self.silo = _silo(self.names, self.metadata, Text() if headers_are_text else _Bytes)
        self.location = _location(self.metadata)
        self.claim = _claim(self.metadata)
        self.meta = _meta(self.metadata)
        self.statistics = _statistics(self.metadata)


def _silo(names: SiloNames, metadata: MetaData, headers: TypeEngine[Any]) -> Table:
    table = Table(
        names.table,
        metadata,
        Column(names.mid, _Id, primary_key=True, autoincrement=True, key="mid"),
        Column(names.src_addr, _text(255), nullable=False, server_default="", key="src_addr"),
        Column(names.dst_addr, _text(255), nullable=False, server_default="", key="dst_addr"),
        Column(names.username, _text(64), nullable=False, server_default="", key="username"),
        Column(names.domain, _text(64), nullable=False, server_default="", key="domain"),
        Column(names.inc_time, BigInteger, nullable=False, server_default="0", key="inc_time"),
        Column(names.exp_time, BigInteger, nullable=False, server_default="0", key="exp_time"),
        Column(names.snd_time, BigInteger, nullable=False, server_default="0", key="snd_time"),
        Column(names.ctype, _text(255), nullable=False, server_default="text/plain", key="ctype"),
        Column(names.body, _Bytes, key="body"),
        Column(names.extra_hdrs, headers, key="extra_hdrs"),
        Column(names.callid, _text(255), key="callid"),
        Column(names.status, Integer, key="status"),
        # Ours: what the From and To URIs above do not hold, and how delivery stands.
        Column("src_name", _text(255)),
        Column("dst_name", _text(255)),
        Column("orig_time", BigInteger),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("next_try", BigInteger, nullable=False, server_default="0"),
        Column("last_status", Integer),
        sqlite_autoincrement=True,  # a deleted message's number is never given to another: order is by number
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    # index names are the schema's in PostgreSQL and SQLite, so they carry the table's name
    Index(f"{names.table}_owner", table.c.username, table.c.domain)
    Index(f"{names.table}_expiry", table.c.exp_time)
    pending = is_pending(table)
    Index(
        f"{names.table}_pending",
        table.c.next_try,
        table.c.snd_time,
        sqlite_where=pending,
        postgresql_where=pending,
    )
    return table


def is_pending(table: Table) -> ColumnElement[bool]:
    """Rows in whose time something is to be done: an index holds them alone, for queries that say just this.

    SQLite uses it for those only that repeat the condition word for word, hence the numbers in its text.
    """
    return or_(table.c.next_try != literal_column("0"), table.c.snd_time != literal_column("0"))


def _location(metadata: MetaData) -> Table:
    table = Table(
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
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    Index("sipsilo_location_expiry", table.c.expires_at)
    return table


def _claim(metadata: MetaData) -> Table:
    table = Table(
        "sipsilo_claim",
        metadata,
        Column("username", _text(64), primary_key=True),
        Column("domain", _text(64), primary_key=True),
        Column("node", _text(128), nullable=False),
        Column("until", Float(53), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
    Index("sipsilo_claim_node", table.c.node)
    return table


def _meta(metadata: MetaData) -> Table:
    return Table(
        "sipsilo_meta",
        metadata,
        Column("name", _text(64), primary_key=True),
        Column("value", _text(255), nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )


def _statistics(metadata: MetaData) -> Table:
    """What each node has counted since its start, written while it runs, so that `sipsilo stats` can read it."""
    return Table(
        "sipsilo_statistics",
        metadata,
        Column("node", _text(128), primary_key=True),
        Column("name", _text(64), primary_key=True),
        Column("value", BigInteger, nullable=False),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
    )
