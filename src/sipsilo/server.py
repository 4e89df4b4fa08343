"""The server: everything put together, started, and stopped without losing anything."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Sequence
from hashlib import blake2b

import structlog
import uvloop

from sipsilo.config import Listen, Settings
from sipsilo.endpoint import Endpoint
from sipsilo.logs import configure_logging
from sipsilo.reach import Reach
from sipsilo.registrar.binding import RegistrarLimits
from sipsilo.registrar.location import Location
from sipsilo.registrar.register import Registrar
from sipsilo.routing.carrier import CarrierSettings, ContactCarrier, Values
from sipsilo.routing.default import DefaultRoute
from sipsilo.routing.identity import Identity
from sipsilo.routing.relay import Relay
from sipsilo.silo.repository import RepositoryError
from sipsilo.silo.silo import Silo, SiloSettings
from sipsilo.sip.message import Request
from sipsilo.storage.bindings import BindingRepository
from sipsilo.storage.messages import MessageRepository
from sipsilo.storage.meta import silo_id
from sipsilo.storage.opening import create_engine, open_tables
from sipsilo.storage.tables import Tables
from sipsilo.storage.urls import parse_url
from sipsilo.transport.flow import Address
from sipsilo.transport.layer import Limits, ListenPoint

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The server cannot start; the text says why, in one line."""


class Server:
    """A whole sipsilo. `start`, then `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = parse_url(settings.msilo.db_url)
        self._engine = create_engine(self._url, 2, settings.msilo.max_pending_stores)
        self._tables = Tables()
        self._endpoint = Endpoint(limits=_limits(settings))
        self._route: DefaultRoute | None = None
        self._purging: asyncio.Task[None] | None = None

    async def start(self) -> Sequence[str]:
        """Open database and sockets; the places where it listens, as `udp:127.0.0.1:5060`. Raises StartError."""
        try:
            await open_tables(self._url, self._tables)
            await self._engine.open()
            messages = MessageRepository(self._engine, self._tables, _node_id(self._settings))
            await messages.start()
            location = Location(BindingRepository(self._engine, self._tables))
            await location.load()
            mark = await silo_id(self._engine, self._tables)
            identity = Identity(self._settings.server.domains)
            self._route = self._build_route(messages, location, mark, identity)
            self._endpoint.handler = self._route
            listening = [await self._listen(listen, identity) for listen in self._settings.server.listen]
            await self._route.silo.start()
        except RepositoryError as error:
            raise StartError(str(error)) from error
        self._purging = asyncio.create_task(self._purge(location))
        return listening

    async def _listen(self, listen: Listen, identity: Identity) -> str:
        point = ListenPoint(listen.transport.upper(), Address(listen.host, listen.port), _advertised(listen))
        try:
            address = await self._endpoint.transport.listen(point)
        except OSError as error:
            raise StartError(f"cannot listen on {listen}: {error.strerror or error}") from error
        identity.add_address(address)
        if listen.advertise_host is not None:
            identity.add_address(Address(listen.advertise_host, listen.advertise_port or address.port))
        return f"{listen.transport}:{address}"

    def _build_route(
        self, messages: MessageRepository, location: Location, mark: str, identity: Identity
    ) -> DefaultRoute:
        settings = self._settings
        reach = Reach(self._endpoint.transport, settings.msilo.max_udp_request)
        carrier = ContactCarrier(
            self._endpoint, location, reach, mark, identity, _carrier_settings(settings), _values_of
        )
        return DefaultRoute(
            identity=identity,
            registrar=Registrar(location, _registrar_limits(settings)),
            carrier=carrier,
            relay=Relay(self._endpoint, reach, settings.proxy.relay_timeout),
            silo=Silo(messages, carrier, _silo_settings(settings)),
        )

    async def _purge(self, location: Location) -> None:
        while True:
            await asyncio.sleep(self._settings.msilo.check_time * self._settings.msilo.clean_period)
            try:
                await location.purge()
            except RepositoryError as error:
                log.error("database", work="bindings", error=str(error))

    async def stop(self) -> dict[str, int]:
        """Take nothing new, finish what is in flight, commit, close; what was counted."""
        timeout = self._settings.server.stop_timeout
        if self._purging is not None:
            self._purging.cancel()
        counts: dict[str, int] = {}
        if self._route is not None:
            silo = self._route.silo
            await asyncio.gather(self._endpoint.drain(timeout), silo.stop(timeout))
            counts = silo.statistics.snapshot()
        await self._engine.close()
        await self._endpoint.close()
        return counts | self._endpoint.counters.snapshot()


def _limits(settings: Settings) -> Limits:
    server = settings.server
    return Limits(server.max_connections, server.max_connections_per_address, server.idle_timeout)


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


def _values_of(request: Request) -> Values:
    """What variables hold for a request of our own."""
    values = {
        "$ru": request.uri_text,
        "$fu": request.from_.uri_text,
        "$tu": request.to.uri_text,
        "$ci": request.call_id,
    }
    return lambda variable: values.get(variable.name)


def _advertised(listen: Listen) -> str | None:
    if listen.advertise_host is None:
        return None
    return listen.advertise_host + (f":{listen.advertise_port}" if listen.advertise_port else "")


def _node_id(settings: Settings) -> str:
    """A name that survives restarts and that no other node has: two cannot listen on one address."""
    if settings.server.node_id is not None:
        return settings.server.node_id
    places = " ".join(map(str, settings.server.listen))
    return blake2b(f"{socket.gethostname()} {places}".encode(), digest_size=8).hexdigest()


def run(settings: Settings) -> int:
    """Run a server until SIGTERM or SIGINT; the exit code."""
    configure_logging()
    # What is there now lives as long as the server; requests come and go by reference counts alone.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        uvloop.run(_serve(settings))
    except StartError as error:
        print(f"sipsilo: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    server = Server(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        listening = await server.start()
        file = settings.msilo.db_url.removeprefix("sqlite:///")
        print(f"sipsilo ready: {' '.join(listening)} keeps its data in {file}", file=sys.stderr, flush=True)
        await stopping.wait()
    finally:
        counts = await server.stop()
    print(
        "sipsilo stopped:",
        *(f"{name}={count}" for name, count in counts.items()),
        file=sys.stderr,
        flush=True,
    )
