"""The server: everything put together, started, and stopped without losing anything."""

import asyncio
import gc
import signal
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog
import uvloop

from sipsilo import wiring
from sipsilo.config import Listen, Settings
from sipsilo.endpoint import Endpoint
from sipsilo.logs import configure_logging
from sipsilo.registrar.location import Location
from sipsilo.routing.default import script as default_script
from sipsilo.routing.identity import Identity
from sipsilo.routing.load import load_script
from sipsilo.routing.router import Router
from sipsilo.routing.script import Script, ScriptError
from sipsilo.routing.services import Services
from sipsilo.silo.repository import RepositoryError
from sipsilo.storage.administration import open_schema
from sipsilo.storage.bindings import BindingRepository
from sipsilo.storage.engine import Engine
from sipsilo.storage.messages import MessageRepository
from sipsilo.storage.meta import silo_id
from sipsilo.storage.opening import create_engine
from sipsilo.storage.urls import parse_url, shown
from sipsilo.transport.flow import Address
from sipsilo.transport.layer import ListenPoint

__all__ = ["Script", "ScriptError", "Server", "StartError", "load_script", "run"]

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The server cannot start; the text says why, in one line."""


class Server:
    """A whole sipsilo: `start`, then `stop`, or `async with`. It leaves signals, logging and the loop as they are.

    `script` says what becomes of requests; without one the built-in route does (routing/default.py). `listening`
    are the places where it listens, as `udp:127.0.0.1:5060`.
    """

    def __init__(self, settings: Settings, script: Script | None = None) -> None:
        self.listening: tuple[str, ...] = ()
        self._settings = settings
        self._script = default_script if script is None else script
        self._engine: Engine | None = None
        self._endpoint: Endpoint | None = None
        self._router: Router | None = None
        self._services: Services | None = None
        self._purging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> Sequence[str]:
        """Open database and sockets; the places where it listens. Raises StartError."""
        try:
            services, location = await self._open()
            await self._go(services, location)
        except (RepositoryError, ScriptError) as error:
            raise StartError(str(error)) from error
        self._purging = asyncio.create_task(self._purge(location))
        return self.listening

    async def _open(self) -> tuple[Services, Location]:
        """The database, and all that stands on it."""
        settings = self._settings
        url = settings.msilo.db_url
        schema = await open_schema(url, wiring.silo_names(settings))
        engine = self._engine = create_engine(parse_url(url), settings.msilo.db_pool, settings.msilo.max_pending_stores)
        await engine.open()
        tables = schema.tables
        messages = MessageRepository(engine, tables, wiring.node_id(settings), max_messages=settings.msilo.max_messages)
        await messages.start()
        location = Location(BindingRepository(engine, tables))
        await location.load()
        endpoint = self._endpoint = self._open_endpoint()
        mark = await silo_id(engine, tables)
        services = self._services = wiring.services(settings, self._script, endpoint, messages, location, mark)
        return services, location

    async def _go(self, services: Services, location: Location) -> None:
        """Let requests in, then begin what time does."""
        assert self._endpoint is not None
        router = self._router = Router(services)
        self._endpoint.handler = router
        if self._script.local is not None:
            self._endpoint.onlooker = router.request_made
        if self._script.events:
            location.listener = router.bindings_changed
        self.listening = tuple(
            [await self._listen(self._endpoint, listen, services.identity) for listen in self._settings.server.listen]
        )
        await services.silo.start()
        await router.start()

    def _open_endpoint(self) -> Endpoint:
        return Endpoint(limits=wiring.limits(self._settings))

    async def _listen(self, endpoint: Endpoint, listen: Listen, identity: Identity) -> str:
        point = ListenPoint(listen.transport.upper(), Address(listen.host, listen.port), _advertised(listen))
        try:
            address = await endpoint.transport.listen(point)
        except OSError as error:
            raise StartError(f"cannot listen on {listen}: {error.strerror or error}") from error
        identity.add_address(address)
        if listen.advertise_host is not None:
            identity.add_address(Address(listen.advertise_host, listen.advertise_port or address.port))
        return f"{listen.transport}:{address}"

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
        if self._router is not None:
            self._router.stop()
        counts: dict[str, int] = {}
        if self._endpoint is not None and self._services is not None:
            silo = self._services.silo
            await asyncio.gather(self._endpoint.drain(timeout), silo.stop(timeout))
            await self._services.notifier.close()
            counts = silo.statistics.snapshot()
        if self._engine is not None:
            await self._engine.close()
        if self._endpoint is not None:
            await self._endpoint.close()
            counts |= self._endpoint.counters.snapshot()
        return counts


def _advertised(listen: Listen) -> str | None:
    if listen.advertise_host is None:
        return None
    return listen.advertise_host + (f":{listen.advertise_port}" if listen.advertise_port else "")


def run(settings: Settings, script: Script | None = None) -> int:
    """Run a server until SIGTERM or SIGINT; the exit code."""
    configure_logging()
    # What is there now lives as long as the server; requests come and go by reference counts alone.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        uvloop.run(_serve(settings, script))
    except StartError as error:
        print(f"sipsilo: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings, script: Script | None) -> None:
    server = Server(settings, script)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        listening = await server.start()
        place = shown(settings.msilo.db_url).removeprefix("sqlite:///")
        print(f"sipsilo ready: {' '.join(listening)} keeps its data in {place}", file=sys.stderr, flush=True)
        await stopping.wait()
    finally:
        counts = await server.stop()
    print(
        "sipsilo stopped:",
        *(f"{name}={count}" for name, count in counts.items()),
        file=sys.stderr,
        flush=True,
    )
