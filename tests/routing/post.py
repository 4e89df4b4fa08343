"""Carrier and notifier on real sockets, without route, silo and database, and phones that talk to them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from sipsilo.endpoint import Endpoint, Incoming
from sipsilo.formats import Variable
from sipsilo.reach import Reach
from sipsilo.registrar.binding import Binding, Change, Received
from sipsilo.registrar.location import Location
from sipsilo.routing.carrier import CarrierSettings, ContactCarrier, Values
from sipsilo.routing.identity import Identity
from sipsilo.routing.notifier import Notifier
from sipsilo.silo.message import StoredMessage
from sipsilo.silo.notices import NoticeSettings
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Aor
from sipsilo.transport.flow import Address
from sipsilo.transport.layer import ListenPoint
from tests.acceptance.agent import DOMAIN, Agent
from tests.acceptance.programs import LOOPBACK
from tests.loop import run
from tests.silo.samples import stored

MARK = "0123.silo"


class NoDatabase:
    """Bindings that nobody keeps."""

    async def load(self, now: float) -> Iterable[tuple[Aor, Binding]]:
        return []

    async def replace(self, aor: Aor, bindings: tuple[Binding, ...]) -> None: ...

    async def purge(self, now: float) -> None: ...


def values_of(request: Request) -> Values:
    """What some variables hold."""
    held = {"$tu": request.to.uri_text, "$fu": request.from_.uri_text, "$rU": request.uri.user}
    return lambda variable: held.get(str(variable))


class PostOffice:
    """Every MESSAGE that comes is answered 202, and a notice about it is asked for."""

    def __init__(self, carrier: CarrierSettings, notices: NoticeSettings, domains: Iterable[str]) -> None:
        self.endpoint = Endpoint(self._take)
        self.location = Location(NoDatabase())
        self.identity = Identity(domains)
        self.configure(carrier, notices)
        self.held: dict[str, object] = {}
        self.taken: list[Request] = []
        self._phones = AsyncExitStack()

    def configure(self, carrier: CarrierSettings, notices: NoticeSettings) -> None:
        """Have a carrier and a notifier with these settings."""
        reach = Reach(self.endpoint.transport, 60_000)
        self.carrier = ContactCarrier(self.endpoint, self.location, reach, MARK, self.identity, carrier, values_of)
        self.notifier = Notifier(self.endpoint, reach, self.identity, self.carrier, notices, carrier.outbound_proxy)

    async def open(self) -> None:
        """Listen on free ports."""
        ports = []
        for transport in ("UDP", "TCP"):
            address = await self.endpoint.transport.listen(ListenPoint(transport, Address(LOOPBACK, 0)))
            self.identity.add_address(address)
            ports.append(address.port)
        self.udp, self.tcp = ports

    async def close(self) -> None:
        """End everything."""
        await self.notifier.close()
        await self._phones.aclose()
        await self.endpoint.close()

    async def _take(self, incoming: Incoming) -> None:
        self.taken.append(incoming.request)
        owner = incoming.request.uri.aor
        assert owner is not None
        self.notifier.notify(incoming.request, incoming.flow, owner, self._expander(incoming.request))
        incoming.reply(202)

    def _expander(self, request: Request) -> Values:
        def expand(variable: Variable) -> object:
            return self.held[str(variable)] if str(variable) in self.held else values_of(request)(variable)

        return expand

    async def phone(self, transport: str = "udp") -> Agent:
        """A user agent; it is closed with the office."""
        port = self.udp if transport == "udp" else self.tcp
        return await self._phones.enter_async_context(await Agent.open(port, transport))

    async def bind(
        self, phone: Agent, user: str = "bob", path: tuple[str, ...] = (), methods: str | None = None
    ) -> None:
        """Bind the phone's contact, as a REGISTER over UDP would."""
        received = Received("UDP", (LOOPBACK, self.udp), (LOOPBACK, phone.port), False)
        new = Binding(phone.contact(user), 1.0, 9e9, 0, "1", 1, path, methods, received)
        await self.location.change(Aor(user, DOMAIN), lambda current: Change((new, *current), True))

    async def carry(self, **changes: Any) -> int | None:
        """Deliver a stored message; the status of the answer."""
        response = await self.carrier.carry(sample(**changes))
        return None if response is None else response.status

    def counted(self, name: str) -> int:
        """How often something happened."""
        return self.endpoint.counters[name]

    async def until_counted(self, name: str, count: int = 1) -> None:
        """Wait until it has happened so often."""
        async with asyncio.timeout(5):
            while self.counted(name) < count:  # noqa: ASYNC110  there is no event for it
                await asyncio.sleep(0.005)


def sample(**changes: Any) -> StoredMessage:
    """A stored message for Bob, number 7."""
    return stored()._replace(mid=7, **changes)


Scenario = Callable[[PostOffice], Awaitable[None]]


def run_office(
    scenario: Scenario,
    carrier: CarrierSettings | None = None,
    notices: NoticeSettings | None = None,
    domains: Iterable[str] = (DOMAIN,),
) -> None:
    """Run a scenario with an office of its own."""

    async def work() -> None:
        office = PostOffice(carrier or CarrierSettings(), notices or NoticeSettings(), domains)
        await office.open()
        try:
            await scenario(office)
        finally:
            await office.close()

    run(work())


def run_with_proxy(
    scenario: Callable[[PostOffice, Agent], Awaitable[None]],
    transport: str = "udp",
    notices: NoticeSettings | None = None,
    suffix: str = "",
    **settings: Any,
) -> None:
    """Run it with an outbound proxy, which is a user agent too; `suffix` stands behind its URI."""

    async def work(office: PostOffice) -> None:
        proxy = await office.phone(transport)
        uri = f"sip:{LOOPBACK}:{proxy.port}{suffix}"
        office.configure(CarrierSettings(outbound_proxy=uri, **settings), notices or NoticeSettings())
        await scenario(office, proxy)

    run_office(work)
