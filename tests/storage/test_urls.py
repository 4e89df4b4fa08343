"""Database URLs: what they mean to the drivers, and that no password is shown."""

import pytest

from sipsilo.storage.urls import UrlError, connect_arguments, parse_url, shown, sqlalchemy_url


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        (
            "mysql://opensips:opensipsrw@localhost/opensips",
            {"host": "localhost", "port": 3306, "user": "opensips", "password": "opensipsrw", "database": "opensips"},
        ),
        ("mariadb://10.0.0.1:3307/db", {"host": "10.0.0.1", "port": 3307, "database": "db"}),
        (
            "postgres://me@db.example.org/silo",
            {"host": "db.example.org", "port": 5432, "user": "me", "database": "silo"},
        ),
        ("postgresql:///silo", {"host": "localhost", "port": 5432, "database": "silo"}),
        ("mysql://u:@[::1]:99/db", {"host": "::1", "port": 99, "user": "u", "database": "db"}),
        (
            "mysql://a:p@ss:w/rd%25?@h/db",
            {"host": "h", "port": 3306, "user": "a", "password": "p@ss:w/rd%?", "database": "db"},
        ),
        ("mysql://a:100%@h/db", {"host": "h", "port": 3306, "user": "a", "password": "100%", "database": "db"}),
        (
            "mysql://a@/db?unix_socket=/run/mysqld/mysqld.sock",
            {
                "host": "localhost",
                "port": 3306,
                "user": "a",
                "database": "db",
                "unix_socket": "/run/mysqld/mysqld.sock",
            },
        ),
        (
            "postgres://a@/db?unix_socket=/run/postgresql",
            {"host": "/run/postgresql", "port": 5432, "user": "a", "database": "db"},
        ),
    ],
)
def test_server_urls(url: str, arguments: dict[str, object]) -> None:
    assert connect_arguments(parse_url(url)) == arguments


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:///silo.db", "silo.db"), ("sqlite:////var/silo.db", "/var/silo.db")]
)
def test_sqlite_urls(url: str, path: str) -> None:
    assert parse_url(url).path == path
    assert str(sqlalchemy_url(parse_url(url))) == url


def test_dbtext_is_for_import_and_export() -> None:
    url = parse_url("text:///var/dbtext")
    assert (url.kind, url.path) == ("text", "/var/dbtext")
    with pytest.raises(UrlError, match="sipsilo db import"):
        sqlalchemy_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "silo.db",
        "oracle://a:secret@h/db",
        "mysql:a:secret@h/db",
        "mysql://a:secret@h",
        "mysql://a:secret@h/",
        "mysql://a:secret@h:0/db",
        "mysql://a:secret@h:70000/db",
        "mysql://a:secret@h:x/db",
        "mysql://a:secret@h/db?ssl=1",
        "mysql://a:secret@h/db?unix_socket=run",
        "sqlite://silo.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///silo.db?mode=ro",
        "text://",
    ],
)
def test_bad_urls_are_told_in_one_line_without_the_password(url: str) -> None:
    with pytest.raises(UrlError) as raised:
        parse_url(url)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "secret" not in repr(raised.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mysql://opensips:opensipsrw@localhost/opensips", "mysql://opensips:***@localhost/opensips"),
        ("mysql://u:p@ss@h/db", "mysql://u:***@h/db"),
        ("postgres://h/db", "postgres://h/db"),
        ("sqlite:///silo.db", "sqlite:///silo.db"),
        ("mysql:u:secret@h", "mysql:…"),
    ],
)
def test_what_is_shown(url: str, text: str) -> None:
    assert shown(url) == text


def test_repr_shows_no_password() -> None:
    assert "secret" not in repr(parse_url("mysql://a:secret@h/db"))
