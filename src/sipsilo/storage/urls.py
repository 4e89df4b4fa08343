"""Database URLs as OpenSIPS writes them: `mysql://opensips:opensipsrw@localhost/opensips`.

User and password may hold any character; `%` followed by two hexadecimal digits is the escape of URLs, so `%25` is a
percent sign. The last `@` ends them. Passwords are in no error's text.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

from sqlalchemy import URL

Kind = Literal["sqlite", "mysql", "postgresql", "text"]

_SCHEMES: dict[str, Kind] = {
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "text": "text",
}
_PORTS = {"mysql": 3306, "postgresql": 5432}
_DRIVERS = {"mysql": "mysql+asyncmy", "postgresql": "postgresql+asyncpg"}
_SERVER = re.compile(
    r"(?:(?P<user>[^:]*)(?::(?P<password>.*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]*)(?::(?P<port>[0-9]+))?"
    r"/(?P<database>[^/?@]*)(?:\?(?P<query>[^@]*))?",
    re.S,
)


class UrlError(ValueError):
    """A URL that names no database; the text, in one line, says why and shows no password."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A database's place, taken apart.

    `path` is the file (sqlite) or directory (text). For servers: `host` as sockets take it (IPv6 without brackets),
    `unix_socket` instead of it when the URL has that option (PostgreSQL: the socket's directory or path).
    """

    kind: Kind
    path: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str = ""
    port: int = 0
    database: str = ""
    unix_socket: str | None = None


def parse_url(text: str) -> DatabaseUrl:
    """Take a URL apart. Raises UrlError."""
    scheme, separator, rest = text.partition("://")
    kind = _SCHEMES.get(scheme.lower())
    if not separator or kind is None:
        accepted = "sqlite:///FILE, mysql://USER:PASSWORD@HOST/DATABASE, postgres://USER:PASSWORD@HOST/DATABASE"
        raise UrlError(f"{shown(text)} is no database URL; accepted: {accepted}")
    if kind == "sqlite":
        return _sqlite_url(text, rest)
    if kind == "text":
        if rest in ("", "/"):
            raise UrlError(f"{text!r} names no directory; accepted: text:///DIRECTORY")
        return DatabaseUrl(kind, path=rest)
    return _server_url(kind, text, rest)


def _sqlite_url(text: str, rest: str) -> DatabaseUrl:
    file = rest.removeprefix("/")
    if file == rest or file in ("", "/", ":memory:") or "?" in file:
        raise UrlError(f"{text!r} names no file; accepted: sqlite:///FILE, or sqlite:////FILE from the root")
    return DatabaseUrl("sqlite", path=file)


def _server_url(kind: Kind, text: str, rest: str) -> DatabaseUrl:
    match = _SERVER.fullmatch(rest)
    if match is None or not match["database"]:
        raise UrlError(f"{shown(text)} names no database; accepted: {kind}://USER:PASSWORD@HOST:PORT/DATABASE")
    port = int(match["port"] or _PORTS[kind])
    if not 0 < port < 65536:
        raise UrlError(f"{shown(text)}: {port} is no port; accepted: 1 to 65535")
    return DatabaseUrl(
        kind,
        user=_decoded(match["user"]),
        password=_decoded(match["password"]),
        host=match["host"].strip("[]") or "localhost",
        port=port,
        database=unquote(match["database"]),
        unix_socket=_socket_option(text, match["query"]),
    )


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text else None


def _socket_option(text: str, query: str | None) -> str | None:
    options = dict(parse_qsl(query or "", keep_blank_values=True))
    path = options.pop("unix_socket", None)
    if options:
        raise UrlError(f"{shown(text)}: unknown option {next(iter(options))!r}; accepted: unix_socket=PATH")
    if path is not None and not path.startswith("/"):
        raise UrlError(f"{shown(text)}: unix_socket={path} is no path from the root")
    return path


def shown(text: str) -> str:
    """A URL, right or wrong, as it may be shown to people and written to logs: `***` for the password."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        # without a scheme nobody knows where a password would stand
        return f"{text.partition(':')[0]}:…" if ":" in text or "@" in text else repr(text)
    account, at, place = rest.rpartition("@")
    user, colon, _ = account.partition(":")
    return f"{scheme}://{user}{':***' if colon else ''}{at}{place}"


def sqlalchemy_url(url: DatabaseUrl) -> URL:
    """The URL for SQLAlchemy: its own SQLite driver, asyncmy or asyncpg. Raises UrlError for dbtext."""
    if url.kind == "sqlite":
        return URL.create("sqlite", database=url.path)
    if url.kind == "text":
        raise UrlError(f"text://{url.path}: dbtext directories are for `sipsilo db import` and `export` only")
    return URL.create(_DRIVERS[url.kind])


def connect_arguments(url: DatabaseUrl) -> dict[str, str | int]:
    """Keyword arguments for `asyncmy.connect` or `asyncpg.connect`, and their pools."""
    arguments: dict[str, str | int] = {"host": url.host, "port": url.port, "database": url.database}
    if url.unix_socket is not None:
        if url.kind == "mysql":
            arguments["unix_socket"] = url.unix_socket
        else:
            arguments["host"] = url.unix_socket  # asyncpg takes a host that begins with / for a socket
    if url.user is not None:
        arguments["user"] = url.user
    if url.password is not None:
        arguments["password"] = url.password
    return arguments
