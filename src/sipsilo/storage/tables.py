"""The tables (SPEC.md chapter 5): OpenSIPS' silo with our delivery state, and our own."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

_Id = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in an INTEGER key

silo = Table(
    "silo",
    metadata,
    Column("mid", _Id, primary_key=True, autoincrement=True),
    Column("src_addr", String(255), nullable=False, server_default=""),
    Column("dst_addr", String(255), nullable=False, server_default=""),
    Column("username", String(64), nullable=False, server_default=""),
    Column("domain", String(64), nullable=False, server_default=""),
    Column("inc_time", BigInteger, nullable=False, server_default="0"),
    Column("exp_time", BigInteger, nullable=False, server_default="0"),
    Column("snd_time", BigInteger, nullable=False, server_default="0"),
    Column("ctype", String(255), nullable=False, server_default="text/plain"),
    Column("body", LargeBinary),
    Column("extra_hdrs", LargeBinary),
    Column("callid", String(255)),
    Column("status", Integer),
    # Ours: what the From and To URIs above do not hold, and how delivery stands.
    Column("src_name", String(255)),
    Column("dst_name", String(255)),
    Column("orig_time", BigInteger),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_try", BigInteger, nullable=False, server_default="0"),
    Column("last_status", Integer),
    sqlite_autoincrement=True,  # a deleted message's number is never given to another: order is by number
)
Index("silo_owner", silo.c.username, silo.c.domain)
Index("silo_expiry", silo.c.exp_time)
Index("silo_retry", silo.c.next_try, sqlite_where=silo.c.next_try > 0)

location = Table(
    "sipsilo_location",
    metadata,
    Column("username", String(64), primary_key=True),
    Column("domain", String(64), primary_key=True),
    Column("contact", String(512), primary_key=True),
    Column("q", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("registered_at", Float, nullable=False),
    Column("call_id", String(255), nullable=False),
    Column("cseq", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("methods", String(255)),
    Column("received", String(128), nullable=False),
)
Index("sipsilo_location_expiry", location.c.expires_at)

claim = Table(
    "sipsilo_claim",
    metadata,
    Column("username", String(64), primary_key=True),
    Column("domain", String(64), primary_key=True),
    Column("node", String(128), nullable=False),
    Column("until", Float, nullable=False),
)
Index("sipsilo_claim_node", claim.c.node)

meta = Table(
    "sipsilo_meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(255), nullable=False),
)
