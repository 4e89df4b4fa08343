"""db_url: what is taken, what is not, and that no mistake shows a password."""

import pytest

from sipsilo.config import ConfigError, load_settings
from sipsilo.config.database_url import parse_database_url
from sipsilo.storage.urls import parse_url


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("sqlite:///silo.db", "sqlite:///silo.db"),
        ("sqlite:////var/lib/silo.db", "sqlite:////var/lib/silo.db"),
        # the original modules' defaults
        ("mysql://opensips:opensipsrw@localhost/opensips", None),
        ("mysql://kamailio:kamailiorw@localhost/kamailio", None),
        ("mysql://localhost/db", None),
        ("mysql://u:p@db.example.org:3307/db", None),
        ("mysql://u:p%40%2F@[::1]:3306/db", None),
        ("mysql://u@localhost/db?unix_socket=/run/mysqld/mysqld.sock", None),
        ("mariadb://u:p@h/db", "mysql://u:p@h/db"),
        ("postgres://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgres://u@/db?host=/run/postgresql", "postgresql://u@/db?unix_socket=/run/postgresql"),
        ("postgresql:///db?unix_socket=/run/postgresql", "postgresql:///db?unix_socket=/run/postgresql"),
        ("mysql://u:p/@:#?x@h/db", "mysql://u:p/@:#?x@h/db"),
    ],
)
def test_url_that_is_taken(url: str, read: str | None) -> None:
    assert parse_database_url(url) == (read or url)
    parse_url(read or url)  # storage understands it too
    loaded = load_settings(None, {"SIPSILO_MSILO__DB_URL": url}, {}).msilo.db_url
    assert loaded == (read or url) or loaded.startswith("sqlite:////")


BAD = [
    "",
    "silo.db",
    "secret@host/db",
    "sqlite://",
    "sqlite:silo.db",
    "sqlite:///",
    "sqlite:////",
    "sqlite:///:memory:",
    "sqlite:///silo.db?mode=ro",
    "oracle://u:secret@h/db",
    "u:secret@h/db",
    "mysql:u:secret@h/db",
    "mysql:/u:secret@h/db",
    "mysql://u:secret@h",
    "mysql://u:secret@h/",
    "mysql://u:secret@h/db/more",
    "mysql://u:secret@h:port/db",
    "mysql://u:secret@h:0/db",
    "mysql://u:secret@h:99999/db",
    "mysql://u:secret@[::1/db",
    "mysql://u:secret@h/db#x",
    "mysql://u:secret@h/db?host=/run",
    "mysql://u:secret@h/db?unix_socket=run",
    "mysql://u:secret@h/db?password=secret",
    "mysql://u:secret@h/db?secret",
    "mysql://u:secret@h/db?unix_socket=/run&x=secret",
    "postgres://u:secret@h/db?host=h",
    "text:///var/dbtext",
]


@pytest.mark.parametrize("url", BAD)
def test_url_that_is_not_taken(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_database_url(url)


@pytest.mark.parametrize("value", [f"'{url}'" for url in BAD] + ["['mysql://u:secret@h/db']", "{a = 'secret'}", "5"])
def test_a_password_is_never_shown(value: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("config") / "sipsilo.toml"
    file.write_text(f"[msilo]\ndb_url = {value}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, {}, {})
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith(f"{file}:2: msilo.db_url: ")
    assert "\n" not in str(caught.value)


def test_nor_is_it_when_settings_are_shown() -> None:
    settings = load_settings(None, {}, {"--db-url": "mysql://u:secret@h/db"})
    assert "secret" not in repr(settings)


def test_dbtext_is_told_how_to_be_taken_over() -> None:
    with pytest.raises(ValueError, match=r"sipsilo db import text:///var/dbtext$"):
        parse_database_url("text:///var/dbtext")
