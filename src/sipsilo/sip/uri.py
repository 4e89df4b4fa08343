"""URIs: sip, sips, tel, im, pres and opaque others (RFC 3261 §19.1, RFC 3966, RFC 3860)."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from sipsilo.sip.errors import SipError
from sipsilo.sip.limits import MAX_URI

Params = tuple[tuple[str, str | None], ...]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*\Z")
# userinfo may hold ; ? / and friends (§25.1 user-unreserved), so the @ is looked for first.
_ADDRESS = re.compile(
    r"(?:(?P<user>[^@:\s<>\"]+)(?P<password>:[^@\s<>\"]*)?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<params>(?:;[^;?@\s<>\"]+)*)"
    r"(?:\?(?P<headers>[^\s@<>\"]*))?\Z"
)
_TEL = re.compile(r"(?P<number>\+?[0-9A-Fa-f*#().\-]+)(?P<params>(?:;[^;\s<>\"]+)*)\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OPAQUE = re.compile(r"[^\s<>\"]+\Z")
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
# What the user part may hold unescaped (§25.1): unreserved and user-unreserved.
_USER_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,;?/")
_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()")
_PLAIN_USER = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/]+\Z")
# §19.1.4: these never match when only one of the URIs has them.
_DECISIVE_PARAMS = frozenset(("user", "ttl", "method", "maddr", "transport"))
# The rest of a URI's parameters names no resource, so it is not part of an AoR (§10.3 step 5).
_AOR_SCHEMES = frozenset(("sip", "sips", "im", "pres"))


class Aor(NamedTuple):
    """An address of record in canonical form: the escaped user part and the lower-case host.

    sip, sips, im and pres URIs of one user share one AoR, as do all ports and parameters.
    """

    user: str
    host: str

    def __str__(self) -> str:
        return f"sip:{self.user}@{self.host}"


@dataclass(frozen=True, slots=True, eq=False)
class Uri:
    """One URI, taken apart. `text` is as it was written; compare with `equivalent`.

    `host` is lower case, IPv6 in brackets, empty where the scheme has none; for tel `user` is the number.
    `aor` is the address of record that the URI names, None without a user part or a host.
    `params` keep their order and the case of their values; their names are lower case.
    """

    text: str
    scheme: str
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Params = ()
    headers: str | None = None
    aor: Aor | None = None

    def __str__(self) -> str:
        return self.text

    def param(self, name: str) -> str | None:
        """The value of a parameter; None when it is absent, "" when it has no value."""
        for key, value in self.params:
            if key == name:
                return value or ""
        return None


@lru_cache(maxsize=8192)
def parse_uri(text: str) -> Uri:
    """Read one URI (without angle brackets). Raises SipError(400)."""
    scheme, colon, rest = text.partition(":")
    if not colon or len(text) > MAX_URI or not _SCHEME.match(scheme):
        raise SipError(400, "Bad URI")
    if "%" in rest and _BAD_ESCAPE.search(rest):
        raise SipError(400, "Bad Escape in URI")
    scheme = scheme.lower()
    if scheme in _AOR_SCHEMES:
        return _parse_address(text, scheme, rest)
    if scheme == "tel":
        match = _TEL.match(rest)
        if match is None:
            raise SipError(400, "Bad tel URI")
        return Uri(text, scheme, user=match["number"], params=split_params(match["params"]))
    if not _OPAQUE.match(rest):
        raise SipError(400, "Bad URI")
    return Uri(text, scheme)


def _parse_address(text: str, scheme: str, rest: str) -> Uri:
    match = _ADDRESS.match(rest)
    if match is None:
        raise SipError(400, "Bad URI")
    user, password, host, port, params, headers = match.groups()
    host = canonical_host(host)
    number = int(port) if port else None
    if number is not None and not 0 < number < 65536:
        raise SipError(400, "Bad Port in URI")
    aor = Aor(canonical_user(user), host) if user else None
    password = password[1:] if password else None
    return Uri(text, scheme, user, password, host, number, split_params(params), headers, aor)


def canonical_host(host: str) -> str:
    """A host name in lower case, an IPv6 reference in its shortest form. Raises SipError(400)."""
    if not host.startswith("["):
        return host.lower()
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1])}]"
    except ValueError:
        raise SipError(400, "Bad IPv6 Address") from None


def canonical_user(user: str) -> str:
    """One spelling for all ways of escaping a user part, as the index of an AoR (§10.3 step 5)."""
    if _PLAIN_USER.match(user):
        return user
    octets = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), _to_octets(user))
    return "".join(char if char in _USER_CHARS else f"%{ord(char):02X}" for char in octets)


def _comparable(text: str) -> str:
    """What §19.1.4 compares: an escape is its character, unless that is a reserved one."""
    if text.isascii() and "%" not in text:
        return text
    octets = _ESCAPED.sub(_unescaped, _to_octets(text))
    return "".join(char if char < "\x80" else f"%{ord(char):02X}" for char in octets)


def _unescaped(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char in _UNRESERVED else f"%{ord(char):02X}"


def _to_octets(text: str) -> str:
    """The UTF-8 octets of `text`, one character each."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def split_params(text: str) -> Params:
    """`;name=value;flag` into pairs; names in lower case."""
    if not text:
        return ()
    params = []
    for part in text.split(";")[1:]:
        name, equals, value = part.partition("=")
        params.append((name.lower(), value if equals else None))
    return tuple(params)


def equivalent(one: Uri, other: Uri) -> bool:
    """Whether two URIs are equivalent (RFC 3261 §19.1.4; tel by RFC 3966 §4; others letter by letter)."""
    if one.scheme != other.scheme:
        return False
    if one.scheme == "tel":
        return _tel_key(one) == _tel_key(other)
    if not one.host:
        return one.text.partition(":")[2] == other.text.partition(":")[2]
    return (
        _user_key(one) == _user_key(other)
        and (one.host, one.port) == (other.host, other.port)
        and _params_agree(one, other)
        and sorted(_header_keys(one)) == sorted(_header_keys(other))
    )


def _user_key(uri: Uri) -> tuple[str | None, str | None]:
    user = _comparable(uri.user) if uri.user else None
    return user, _comparable(uri.password) if uri.password is not None else None


def _tel_key(uri: Uri) -> tuple[str, frozenset[tuple[str, str]]]:
    number = re.sub(r"[().\-]", "", uri.user or "").lower()
    return number, frozenset((name, (value or "").lower()) for name, value in uri.params)


def _params_agree(one: Uri, other: Uri) -> bool:
    mine, theirs = _param_keys(one), _param_keys(other)
    for name in mine.keys() | theirs.keys():
        if name in mine and name in theirs:
            if mine[name] != theirs[name]:
                return False
        elif name in _DECISIVE_PARAMS:
            return False
    return True


def _param_keys(uri: Uri) -> dict[str, str]:
    return {_comparable(name).lower(): _comparable(value or "").lower() for name, value in uri.params}


def _header_keys(uri: Uri) -> Iterator[tuple[str, str]]:
    for part in (uri.headers or "").split("&"):
        name, _, value = part.partition("=")
        yield _comparable(name).lower(), _comparable(value)
