"""The settings: each parameter with its type, its default and what it accepts."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, TypeAdapter
from pydantic.fields import FieldInfo

from sipsilo.config.listen import Listen, parse_host, parse_listen


def _whole(what: str, low: int, high: int) -> Any:
    return Field(ge=low, le=high, description=f"{what} from {low} to {high}")


def _seconds(low: float, high: float) -> Any:
    return Field(ge=low, le=high, allow_inf_nan=False, description=f"seconds from {low:g} to {high:g}")


def _as_tuple(value: object) -> tuple[object, ...]:
    """A TOML array; or its text in the environment: JSON, or values with commas between them."""
    if isinstance(value, (list, tuple)):
        return tuple(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a list")
    try:
        items = json.loads(value)
    except ValueError:
        items = [part.strip() for part in value.split(",") if part.strip()]
    return tuple(items) if isinstance(items, list) else (value,)


def _as_bool(value: object) -> object:
    """The 0 and 1 of the original module stand for TOML's booleans too."""
    return bool(value) if value in (0, 1) else value


def _check_db_url(url: str) -> str:
    scheme, colon, rest = url.partition(":")
    if scheme != "sqlite":
        # Only the scheme is shown: such a URL may hold a password.
        raise ValueError(f"{scheme + ':…' if colon else repr(url)} is not supported yet")
    file = rest.removeprefix("///")
    if file == rest or file in ("", "/", ":memory:") or "?" in file:
        raise ValueError(f"{url!r} does not name a file")
    return url


_Listens = Annotated[
    tuple[Annotated[Listen, PlainValidator(parse_listen)], ...],
    BeforeValidator(_as_tuple),
    Field(
        min_length=1,
        description='a list of "udp:HOST:PORT" or "tcp:HOST:PORT", IPv6 in brackets,'
        ' ";advertise=HOST" or ";advertise=HOST:PORT" behind it',
    ),
]
_Hosts = Annotated[
    tuple[Annotated[str, PlainValidator(parse_host)], ...],
    BeforeValidator(_as_tuple),
    Field(description='a list of host names or addresses, such as ["example.org"]'),
]
_Switch = Annotated[bool, BeforeValidator(_as_bool), Field(description="0 or 1")]


@dataclass(frozen=True, slots=True)
class Server:
    """Sockets and their limits."""

    listen: _Listens = (Listen("udp", "127.0.0.1", 5060), Listen("tcp", "127.0.0.1", 5060))
    domains: _Hosts = ()
    """The hosts we serve, as `sip.uri` spells them; none: whatever host is asked for (on loopback only)."""
    node_id: Annotated[
        str | None,
        Field(pattern=r"^[!-~]{1,64}$", description="1 to 64 visible ASCII characters"),
    ] = None
    """This node's name in the claims of a shared database; None: made from host name and addresses."""
    max_connections: Annotated[int, _whole("a whole number", 1, 1_000_000)] = 10_000
    max_connections_per_address: Annotated[int, _whole("a whole number", 1, 1_000_000)] = 5_000
    idle_timeout: Annotated[float, _seconds(1, 604_800)] = 3600.0
    """Seconds after which a silent TCP connection is closed."""
    stop_timeout: Annotated[float, _seconds(0, 600)] = 10.0
    """Seconds that a graceful stop gives to what is in flight."""


@dataclass(frozen=True, slots=True)
class Registrar:
    """Bindings (RFC 3261 §10.3)."""

    default_expires: Annotated[int, _whole("whole seconds", 1, 31_536_000)] = 3600
    min_expires: Annotated[int, _whole("whole seconds", 1, 31_536_000)] = 60
    max_expires: Annotated[int, _whole("whole seconds", 1, 31_536_000)] = 86_400
    max_contacts: Annotated[int, _whole("a whole number", 1, 1000)] = 10
    """Bindings of one AoR."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Relaying to bound contacts."""

    relay_timeout: Annotated[float, _seconds(0.1, 30)] = 10.0
    """Seconds without a final response after which a contact counts as absent; well below Timer F, 32 s."""


@dataclass(frozen=True, slots=True)
class Msilo:
    """The silo: parameters of the original module by their names, and our own limits."""

    db_url: Annotated[
        str,
        Field(description="sqlite:///FILE relative to the configuration file, sqlite:////FILE from the root"),
        AfterValidator(_check_db_url),
    ] = "sqlite:///silo.db"
    """An absolute path (`sqlite:////…`) once the settings are loaded."""
    expire_time: Annotated[int, _whole("whole seconds", 1, 315_360_000)] = 259_200
    check_time: Annotated[int, _whole("whole seconds", 1, 86_400)] = 30
    clean_period: Annotated[int, _whole("a number of check_time cycles", 1, 100_000)] = 5
    add_date: _Switch = True
    # §18.1.1: above 1300 bytes a request goes by a congestion controlled transport where it can; 65,507 bytes
    # are the most that UDP over IPv4 carries.
    max_udp_request: Annotated[int, _whole("a number of bytes", 1300, 65_507)] = 60_000
    parallel_deliveries: Annotated[int, _whole("a whole number", 1, 100_000)] = 256
    max_pending_stores: Annotated[int, _whole("a whole number", 1, 1_000_000)] = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, one section of the file each."""

    server: Server = field(default_factory=Server)
    registrar: Registrar = field(default_factory=Registrar)
    proxy: Proxy = field(default_factory=Proxy)
    msilo: Msilo = field(default_factory=Msilo)


Name = tuple[str, str]
"""Section and parameter."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """How one parameter is read: `reader` checks and converts a value, `accepted` says what it takes."""

    reader: TypeAdapter[Any]
    accepted: str


SECTIONS: dict[str, Any] = {section.name: section.type for section in fields(Settings)}


def _parameters() -> Iterator[tuple[Name, Parameter]]:
    for section, cls in SECTIONS.items():
        for name, hint in get_type_hints(cls, include_extras=True).items():
            words = [meta.description for meta in hint.__metadata__ if isinstance(meta, FieldInfo)]
            yield (section, name), Parameter(TypeAdapter(hint), words[0] or "")


PARAMETERS: dict[Name, Parameter] = dict(_parameters())
