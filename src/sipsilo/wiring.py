"""From settings to the parts of a server: each part gets the parameters that it knows, and nothing else."""

import socket
from hashlib import blake2b

from sipsilo.config import Settings
from sipsilo.endpoint import Endpoint
from sipsilo.reach import Reach
from sipsilo.registrar.binding import RegistrarLimits
from sipsilo.registrar.location import Location
from sipsilo.registrar.register import Registrar
from sipsilo.routing.carrier import CarrierSettings, ContactCarrier, Values
from sipsilo.routing.identity import Identity
from sipsilo.routing.notifier import Notifier
from sipsilo.routing.relay import Relay
from sipsilo.routing.script import Script
from sipsilo.routing.services import Services
from sipsilo.routing.storing import StoreParameters
from sipsilo.routing.variables import Scope, value
from sipsilo.silo.notices import NoticeSettings
from sipsilo.silo.repository import Repository
from sipsilo.silo.silo import Silo, SiloSettings
from sipsilo.sip.message import Request
from sipsilo.storage.schema import names_of
from sipsilo.storage.tables import SiloNames
from sipsilo.transport.layer import Limits


def limits(settings: Settings) -> Limits:
    """What the transport allows its peers."""
    server = settings.server
    return Limits(server.max_connections, server.max_connections_per_address, server.idle_timeout)


def silo_names(settings: Settings) -> SiloNames:
    """What the silo's table and its columns are called, as configured."""
    return names_of(settings.msilo.db_table, settings.msilo.columns)


def node_id(settings: Settings) -> str:
    """A name that survives restarts and that no other node has: two cannot listen on one address."""
    if settings.server.node_id is not None:
        return settings.server.node_id
    places = " ".join(map(str, settings.server.listen))
    return blake2b(f"{socket.gethostname()} {places}".encode(), digest_size=8).hexdigest()


def services(
    settings: Settings, script: Script, endpoint: Endpoint, messages: Repository, location: Location, silo_id: str
) -> Services:
    """What routes are made of. `silo_id` marks what we send (storage.meta)."""
    identity = Identity(settings.server.domains)
    reach = Reach(endpoint.transport, settings.msilo.max_udp_request)
    carrier = ContactCarrier(endpoint, location, reach, silo_id, identity, _carrier_settings(settings), _values_of)
    outbound_proxy = settings.msilo.outbound_proxy or ""
    return Services(
        script=script,
        identity=identity,
        location=location,
        registrar=Registrar(location, _registrar_limits(settings)),
        carrier=carrier,
        relay=Relay(endpoint, reach, settings.proxy.relay_timeout),
        silo=Silo(messages, carrier, _silo_settings(settings)),
        storing=_store_parameters(settings),
        notifier=Notifier(endpoint, reach, identity, carrier, _notice_settings(settings), outbound_proxy),
        count=endpoint.counters.add,
    )


def _values_of(request: Request) -> Values:
    """What variables hold for a request of our own."""
    scope = Scope(request, None, request.uri_text)
    return lambda variable: value(scope, variable)


def _registrar_limits(settings: Settings) -> RegistrarLimits:
    registrar = settings.registrar
    return RegistrarLimits(
        registrar.default_expires, registrar.min_expires, registrar.max_expires, registrar.max_contacts
    )


def _silo_settings(settings: Settings) -> SiloSettings:
    msilo = settings.msilo
    return SiloSettings(
        msilo.expire_time,
        msilo.check_time,
        msilo.clean_period,
        msilo.parallel_deliveries,
        msilo.reminder or "",
        msilo.send_time,
    )


def _carrier_settings(settings: Settings) -> CarrierSettings:
    msilo, silo = settings.msilo, _silo_settings(settings)
    return CarrierSettings(
        add_date=msilo.add_date,
        reminder=silo.reminder if silo.reminders else "",
        outbound_proxy=msilo.outbound_proxy or "",
        add_contact=msilo.add_contact,
        use_mode=msilo.use_mode,
        extra_hdrs=msilo.extra_hdrs,
        zone=settings.server.zone,
    )


def _notice_settings(settings: Settings) -> NoticeSettings:
    msilo = settings.msilo
    return NoticeSettings(
        from_address=msilo.from_address,
        offline_message=msilo.offline_message,
        content_type_hdr=msilo.content_type_hdr,
        contact_hdr=msilo.contact_hdr,
        use_contact=msilo.use_contact,
        interval=msilo.notice_interval,
    )


def _store_parameters(settings: Settings) -> StoreParameters:
    msilo = settings.msilo
    return StoreParameters(msilo.snd_time_avp, msilo.extra_hdrs_avp, msilo.skip_notification_flag, settings.server.zone)
