"""Where messages are kept: the parameter db_url (SPEC.md chapter 1)."""

import re
from urllib.parse import parse_qsl

ACCEPTED = (
    "sqlite:///FILE relative to the configuration file, sqlite:////FILE from the root,"
    " mysql://USER:PASSWORD@HOST[:PORT]/DATABASE (MariaDB too) or postgres://USER:PASSWORD@HOST[:PORT]/DATABASE;"
    " through a socket …@localhost/DATABASE?unix_socket=PATH"
)

_SCHEMES = {
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
}
# user and password may hold anything, the last @ ends them
_SERVER = re.compile(
    r"(?P<server>//(?:.*@)?(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]*)(?::(?P<port>[0-9]{1,5}))?/[^/?@#]+)(?:\?(?P<options>[^@]*))?",
    re.S,
)


def parse_database_url(text: object) -> str:
    """A database URL with one of the schemes sqlite, mysql and postgresql. Raises ValueError.

    What it raises never holds more of the URL than its scheme, or a file name: there may be a password in it.
    """
    if not isinstance(text, str):
        raise ValueError("is not a text")
    name, colon, rest = text.partition(":")
    if name == "text":
        raise ValueError(
            "text:… (dbtext) is no database that could keep an acknowledged message;"
            f" take its messages over into one: sipsilo db import {text}"
        )
    scheme = _SCHEMES.get(name)
    if scheme is None or not colon:
        shown = f"{name}:…" if colon and name.isalnum() else "it"
        raise ValueError(f"{shown} is no URL of a database that we know")
    if scheme == "sqlite":
        return _checked_file(text, rest)
    return _checked_server(rest, scheme, name)


def _checked_file(url: str, rest: str) -> str:
    file = rest.removeprefix("///")
    if file == rest or file in ("", "/", ":memory:") or "?" in file:
        raise ValueError(f"{url!r} does not name a file")
    return url


def _checked_server(rest: str, scheme: str, name: str) -> str:
    match = _SERVER.fullmatch(rest)
    if match is None or not 0 < int(match["port"] or 1) < 65536:
        raise ValueError(f"{name}:… names no database as {name}://USER:PASSWORD@HOST:PORT/DATABASE does")
    if match["options"] is None:
        return f"{scheme}:{rest}"
    options = parse_qsl(match["options"], keep_blank_values=True)
    # libpq says host for the folder of a socket
    known = ("unix_socket", "host") if scheme == "postgresql" else ("unix_socket",)
    if len(options) != 1 or options[0][0] not in known or not options[0][1].startswith("/"):
        raise ValueError(f"{name}:… has an option other than unix_socket=/PATH")
    return f"{scheme}:{match['server']}?unix_socket={options[0][1]}"
