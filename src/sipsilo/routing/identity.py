"""Who we are: the hosts whose users we serve, and the addresses that are our own."""

from collections.abc import Iterable

from sipsilo.sip.headers import parse_name_addr
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor, Uri
from sipsilo.transport.flow import Address, bracketed
from sipsilo.transport.responses import DEFAULT_PORT


class Identity:
    """`domains` are the hosts we serve, none for any; `addresses` what we listen on or advertise."""

    def __init__(self, domains: Iterable[str], addresses: Iterable[Address] = ()) -> None:
        self._domains = frozenset(domains)
        self._addresses = {(bracketed(address.host), address.port) for address in addresses}

    def add_address(self, address: Address) -> None:
        """One more address is our own."""
        self._addresses.add((bracketed(address.host), address.port))

    def serves(self, host: str) -> bool:
        """Whether users of this host are ours."""
        return not self._domains or host in self._domains

    def owns(self, aor: Aor | None) -> bool:
        """Whether this is the AoR of a user of ours."""
        return aor is not None and self.serves(aor.host)

    def is_own_address(self, uri: Uri, local: Address) -> bool:
        """Whether a URI points to this server; `local` is where the request that holds it came in."""
        port = uri.port or DEFAULT_PORT
        return (
            (uri.host, port) in self._addresses
            or (uri.host, port) == (bracketed(local.host), local.port)
            or (uri.host in self._domains and any(port == own for _, own in self._addresses))
        )

    def strip_own_routes(self, request: Request, local: Address) -> None:
        """Take off the Route values at the top that name us (§16.4)."""
        while request.get("route") is not None:
            routes = request.values("route")
            if not routes or not self.is_own_address(parse_name_addr(routes[0]).uri, local):
                return
            request.replace_first("Route", None)
