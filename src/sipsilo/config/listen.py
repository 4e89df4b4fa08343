"""Where the server listens, and what it calls itself there."""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import parse_uri

Transport = Literal["udp", "tcp"]
_TRANSPORTS: dict[str, Transport] = {"udp": "udp", "tcp": "tcp"}


@dataclass(frozen=True, slots=True)
class Listen:
    """One listening socket: `host` as a socket takes it (IPv6 without brackets), `port` 0 for any free one.

    `advertise_host` and `advertise_port` are what Via and Contact show instead, as a SIP URI writes them
    (IPv6 in brackets), for a server behind NAT or in a container.
    """

    transport: Transport
    host: str
    port: int
    advertise_host: str | None = None
    advertise_port: int | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"


def parse_listen(text: object) -> Listen:
    """Read `udp:HOST:PORT` or `tcp:HOST:PORT`, perhaps with `;advertise=HOST[:PORT]`. Raises ValueError."""
    if isinstance(text, Listen):
        return text
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a text")
    address, semicolon, option = text.partition(";")
    scheme, _, place = address.strip().partition(":")
    transport = _TRANSPORTS.get(scheme)
    if transport is None:
        raise ValueError(f"{text!r} does not begin with udp: or tcp:")
    # Port 0 is no port of a URI: it asks the system for a free one.
    host, port = (place[:-2], 0) if place.endswith(":0") else _host_and_port(place)
    if port is None:
        raise ValueError(f"{text!r} has no port")
    host = parse_host(host).strip("[]")
    if not semicolon:
        return Listen(transport, host, port)
    name, _, value = option.strip().partition("=")
    if name != "advertise":
        raise ValueError(f"{text!r} has the unknown option {name!r}")
    return Listen(transport, host, port, *_host_and_port(value))


def parse_host(text: object) -> str:
    """A host in the spelling of `sip.uri` (lower case, IPv6 in brackets). Raises ValueError."""
    host, port = _host_and_port(text)
    if port is not None:
        raise ValueError(f"{text!r} has a port")
    return host


def _host_and_port(text: object) -> tuple[str, int | None]:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a text")
    try:
        uri = parse_uri(f"sip:{text}")
    except SipError:
        raise ValueError(f"{text!r} is no host or host:port") from None
    if uri.user is not None or uri.params or uri.headers is not None:
        raise ValueError(f"{text!r} is no host or host:port")
    return uri.host, uri.port
