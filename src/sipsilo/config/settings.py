"""The settings: each parameter with its type, its default and what it accepts."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import tzinfo
from typing import Annotated, Any, get_type_hints
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, PlainValidator, TypeAdapter
from pydantic.fields import FieldInfo

from sipsilo.config import values
from sipsilo.config.database_url import ACCEPTED as DATABASE_URLS
from sipsilo.config.database_url import parse_database_url
from sipsilo.config.listen import Listen, parse_host, parse_listen
from sipsilo.formats import Format, Variable


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


def _read(reader: Callable[[object], Any], accepted: str) -> tuple[PlainValidator, Any]:
    return PlainValidator(reader), Field(description=accepted)


_SipUri = Annotated[str | None, *_read(values.read_sip_uri, 'a SIP URI, such as "sip:registrar@example.org"')]
_Headers = Annotated[
    Format | None,
    *_read(values.read_header_format, r'whole header lines "Name: value\r\n", with pseudo-variables such as $rU'),
]
_Avp = Annotated[Variable | None, *_read(values.read_avp, 'an AVP, such as "$avp(name)"')]
_Identifier = Annotated[str, *_read(values.read_identifier, "a name of letters, digits and _, 1 to 56, no digit first")]
_OptionalIdentifier = Annotated[
    str | None, *_read(values.read_identifier, "a name of letters, digits and _, 1 to 56, no digit first")
]


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
    timezone: Annotated[
        str | None, *_read(values.read_time_zone, 'a name of the IANA time zone database, such as "Europe/Berlin"')
    ] = None
    """The zone of times that name none, and of those that people read; None: the system's."""

    @property
    def zone(self) -> tzinfo | None:
        """The time zone; None for the system's."""
        return None if self.timezone is None else ZoneInfo(self.timezone)


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
    """The silo: parameters of the original modules by their names (guide chapter 1.3), and our own limits."""

    # where messages are kept
    db_url: Annotated[str, *_read(parse_database_url, DATABASE_URLS)] = field(
        default="sqlite:///silo.db",
        repr=False,  # it may hold a password
    )
    """Its scheme is sqlite, mysql or postgresql; a file's path is absolute once the settings are loaded."""
    db_pool: Annotated[int, _whole("a number of connections", 1, 64)] = 2
    """Connections to a database server."""
    db_table: _Identifier = "silo"
    sc_mid: _OptionalIdentifier = None
    """None: `mid`, or `id` in a table that has no `mid`."""
    sc_from: _Identifier = "src_addr"
    sc_to: _Identifier = "dst_addr"
    sc_uri_user: _Identifier = "username"
    sc_uri_host: _Identifier = "domain"
    sc_body: _Identifier = "body"
    sc_ctype: _Identifier = "ctype"
    sc_exp_time: _Identifier = "exp_time"
    sc_inc_time: _Identifier = "inc_time"
    sc_snd_time: _Identifier = "snd_time"
    sc_stored_hdrs: _Identifier = "extra_hdrs"
    sc_callid: _Identifier = "callid"
    sc_status: _Identifier = "status"

    # how long, and how many
    expire_time: Annotated[int, _whole("whole seconds", 1, 315_360_000)] = 259_200
    check_time: Annotated[int, _whole("whole seconds", 1, 86_400)] = 30
    clean_period: Annotated[int, _whole("a number of check_time cycles", 1, 100_000)] = 5
    max_messages: Annotated[int, _whole("a number of messages", 0, 1_000_000_000)] = 0

    # how they are delivered
    add_date: _Switch = True
    outbound_proxy: Annotated[
        str | None,
        *_read(values.read_proxy_uri, 'a SIP URI, such as "sip:proxy.example.org;transport=tcp" (udp or tcp)'),
    ] = None
    add_contact: _Switch = False
    extra_hdrs: _Headers = None
    extra_hdrs_avp: _Avp = None
    use_mode: _Switch = False
    """Whether a message is delivered under its own Call-ID."""

    # reminders
    reminder: _SipUri = None
    send_time: Annotated[int, _whole("whole seconds", 0, 86_400)] = 0
    snd_time_avp: _Avp = None

    # notices to senders
    from_address: Annotated[
        Format | None,
        *_read(values.read_address_format, 'a SIP URI, with pseudo-variables such as "sip:$rU@example.org"'),
    ] = None
    offline_message: Annotated[
        Format | None, *_read(values.read_format, "a text, with pseudo-variables such as $rU, and $$ for a dollar")
    ] = None
    content_type_hdr: Annotated[
        Format | None, *_read(values.read_content_type_format, r'a whole line, "Content-Type: text/plain\r\n"')
    ] = None
    contact_hdr: _Headers = None
    use_contact: _Switch = True
    skip_notification_flag: Annotated[
        int | str | None, *_read(values.read_flag, "a flag: its number from 0 to 31, or its name; -1 for none")
    ] = None
    notice_interval: Annotated[float, _seconds(0, 86_400)] = 60.0
    """Seconds between two notices to one sender about one owner."""

    # §18.1.1: above 1300 bytes a request goes by a congestion controlled transport where it can; 65,507 bytes
    # are the most that UDP over IPv4 carries.
    max_udp_request: Annotated[int, _whole("a number of bytes", 1300, 65_507)] = 60_000
    parallel_deliveries: Annotated[int, _whole("a whole number", 1, 100_000)] = 256
    max_pending_stores: Annotated[int, _whole("a whole number", 1, 1_000_000)] = 10_000

    @property
    def columns(self) -> dict[str, str]:
        """What each sc_… names in the silo's table, sc_mid being `mid` when it is not set."""
        names = {name: str(getattr(self, name)) for name in COLUMN_PARAMETERS}
        return names | {"sc_mid": self.sc_mid or "mid"}


COLUMN_PARAMETERS = tuple(each.name for each in fields(Msilo) if each.name.startswith("sc_"))

OWN_COLUMNS = frozenset(("src_name", "dst_name", "orig_time", "attempts", "next_try", "last_status"))
"""Columns that are ours in every silo; no other can have such a name."""


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
