"""What routes are made of: the parts of the server that a script's words reach."""

from collections.abc import Callable
from dataclasses import dataclass

from sipsilo.registrar.location import Location
from sipsilo.registrar.register import Registrar
from sipsilo.routing.carrier import ContactCarrier
from sipsilo.routing.identity import Identity
from sipsilo.routing.notifier import Notifier
from sipsilo.routing.relay import Relay
from sipsilo.routing.script import Script
from sipsilo.routing.storing import StoreParameters
from sipsilo.silo.silo import Silo


@dataclass(frozen=True)
class Services:
    """The server, as its routes know it. `count` adds one to a named counter."""

    script: Script
    identity: Identity
    location: Location
    registrar: Registrar
    carrier: ContactCarrier
    relay: Relay
    silo: Silo
    storing: StoreParameters
    notifier: Notifier
    count: Callable[[str], None]
