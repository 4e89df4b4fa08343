"""Silos as other programs make them: tables of our own writing with the columns and types of theirs."""

_OPENSIPS_MYSQL = """
CREATE TABLE silo (
  id INT(10) UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  src_addr CHAR(255) NOT NULL DEFAULT '', dst_addr CHAR(255) NOT NULL DEFAULT '',
  username CHAR(64) NOT NULL DEFAULT '', domain CHAR(64) NOT NULL DEFAULT '',
  inc_time INT NOT NULL DEFAULT 0, exp_time INT NOT NULL DEFAULT 0, snd_time INT NOT NULL DEFAULT 0,
  ctype CHAR(32) NULL, body BLOB NULL
) ENGINE=InnoDB;
CREATE INDEX account_idx ON silo (username, domain)
"""
_OPENSIPS_POSTGRESQL = """
CREATE TABLE silo (
  id SERIAL PRIMARY KEY NOT NULL,
  src_addr VARCHAR(255) NOT NULL DEFAULT '', dst_addr VARCHAR(255) NOT NULL DEFAULT '',
  username VARCHAR(64) NOT NULL DEFAULT '', domain VARCHAR(64) NOT NULL DEFAULT '',
  inc_time INTEGER NOT NULL DEFAULT 0, exp_time INTEGER NOT NULL DEFAULT 0, snd_time INTEGER NOT NULL DEFAULT 0,
  ctype VARCHAR(32) NOT NULL DEFAULT 'text/plain', body BYTEA NOT NULL
);
CREATE INDEX silo_account_idx ON silo (username, domain)
"""
_OPENSIPS_SQLITE = """
CREATE TABLE silo (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
  src_addr CHAR(255) NOT NULL DEFAULT '', dst_addr CHAR(255) NOT NULL DEFAULT '',
  username CHAR(64) NOT NULL DEFAULT '', domain CHAR(64) NOT NULL DEFAULT '',
  inc_time INTEGER NOT NULL DEFAULT 0, exp_time INTEGER NOT NULL DEFAULT 0, snd_time INTEGER NOT NULL DEFAULT 0,
  ctype CHAR(32) NULL, body BLOB NULL
);
CREATE INDEX silo_account_idx ON silo (username, domain)
"""


def _kamailio(script: str) -> str:
    """Version 8 has three columns more."""
    more = ", extra_hdrs TEXT, callid VARCHAR(128) NOT NULL DEFAULT '', status INT NOT NULL DEFAULT 0"
    head, close, tail = script.partition("\n)")
    return f"{head}{more}{close}{tail}".replace("CHAR(32) NULL", "VARCHAR(32) NOT NULL DEFAULT 'text/plain'")


OPENSIPS = {"mariadb": _OPENSIPS_MYSQL, "postgresql": _OPENSIPS_POSTGRESQL, "sqlite": _OPENSIPS_SQLITE}
"""Version 6."""
KAMAILIO = {kind: _kamailio(script) for kind, script in OPENSIPS.items()}
"""Version 8."""

PLAIN_INSERT = (
    "INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
"""What both programs store: they name their own columns only."""
