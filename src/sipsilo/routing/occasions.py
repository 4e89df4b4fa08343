"""What routes have in hand that no request started: at the start, at a time, at an event of the registrar."""

from sipsilo.registrar.binding import Binding
from sipsilo.routing.dump import dump
from sipsilo.routing.notes import Level, note
from sipsilo.routing.services import Services
from sipsilo.sip.uri import Aor


class Context:
    """The server, for startup and timer routes."""

    __slots__ = ("_services",)

    def __init__(self, services: Services) -> None:
        self._services = services

    async def m_dump(self, owner: str, maxmsg: int | None = None) -> bool:
        """Send the owner what is stored, at most `maxmsg` messages (guide chapter 1.4.2).

        True even if nothing is; False for a bad URI, and for a user of ours who is not bound. Raises
        ValueError for a `maxmsg` below 1.
        """
        return dump(self._services, owner, maxmsg, new_binding=False)

    def log(self, text: str, level: Level = "info") -> None:
        """Write a line to the server's log."""
        note(text, level)


class Event(Context):
    """What the registrar tells: `name` is one of `script.EVENTS`."""

    __slots__ = ("_aor", "_binding", "name")

    def __init__(self, services: Services, name: str, aor: Aor, binding: Binding) -> None:
        super().__init__(services)
        self.name = name
        self._aor = aor
        self._binding = binding

    @property
    def aor(self) -> str:
        """The user, as a URI."""
        return str(self._aor)

    @property
    def contact(self) -> str:
        """The contact's URI."""
        return self._binding.contact

    @property
    def expires_at(self) -> float:
        """Until when it is bound, as a Unix time."""
        return self._binding.expires_at

    @property
    def call_id(self) -> str:
        """The Call-ID of the REGISTER that bound it last."""
        return self._binding.call_id

    @property
    def cseq(self) -> int:
        """The CSeq number of that REGISTER."""
        return self._binding.cseq

    @property
    def path(self) -> tuple[str, ...]:
        """Its Path (RFC 3327), nearest hop first."""
        return self._binding.path

    @property
    def received(self) -> str:
        """Where that REGISTER came from, as in `udp:192.0.2.1:5060`."""
        received = self._binding.received
        host, port = received.remote
        return f"{received.transport.lower()}:{f'[{host}]' if ':' in host else host}:{port}"

    async def m_dump(self, owner: str | None = None, maxmsg: int | None = None) -> bool:
        """Send the owner, by default the user of the event, what is stored; as in a timer route."""
        is_new = self.name == "E_UL_CONTACT_INSERT"
        return dump(self._services, self.aor if owner is None else owner, maxmsg, new_binding=is_new)
