"""A request in hand: what it is, the script's marks on it, and its answer."""

from collections.abc import Iterable

from sipsilo.endpoint import Incoming
from sipsilo.proxy.forward import has_hops
from sipsilo.registrar.register import SUPPORTED
from sipsilo.routing.services import Services
from sipsilo.routing.variables import Scope
from sipsilo.sip import message as sip
from sipsilo.sip.errors import SipError
from sipsilo.sip.uri import parse_uri
from sipsilo.sip.validation import check_required

ALLOW = ("Allow", "REGISTER, MESSAGE, OPTIONS")

_COMPOSING = "application/im-iscomposing+xml"


class InHand(Scope):
    """A request that came in, as its script sees and answers it."""

    __slots__ = ("_final", "_flags", "_services", "_transaction")

    def __init__(self, services: Services, incoming: Incoming) -> None:
        request = incoming.request
        super().__init__(request, incoming, request.uri_text)
        self._services = services
        self._transaction = incoming
        self._final = 0
        self._flags: set[str | int] | None = None

    # -- what it is

    @property
    def message(self) -> sip.Request:
        """The request as it goes on. To be read only."""
        message = self._message
        assert isinstance(message, sip.Request)
        return message

    @property
    def method(self) -> str:
        """Its method (`$rm`)."""
        return self._transaction.request.method

    @property
    def answered(self) -> bool:
        """Whether a final response has been sent."""
        return self._transaction.answered

    @property
    def is_composing(self) -> bool:
        """Whether it only tells that somebody is typing (RFC 3994): worthless later, so never stored."""
        content_type = self._message.get("content-type") or ""
        return content_type.partition(";")[0].strip().lower() == _COMPOSING

    def is_myself(self, host: str | None = None) -> bool:
        """Whether we serve the users of a host, by default of the Request-URI's (setting server.domains)."""
        return self._services.identity.serves(parse_uri(self._uri).host if host is None else host.lower())

    def process_max_forwards(self, limit: int = 10) -> bool:
        """Whether it may go on: False when it has no hops left. Without Max-Forwards it gets `limit` hops."""
        if self._message.get("max-forwards") is None:
            self._writable().add("Max-Forwards", str(limit))
        if has_hops(self.message):
            return True
        self._services.count("refused.hops")
        return False

    # -- the script's marks on it

    def set_flag(self, flag: str | int) -> None:
        """Set a flag."""
        if self._flags is None:
            self._flags = set()
        self._flags.add(flag)

    def reset_flag(self, flag: str | int) -> None:
        """Take a flag away."""
        if self._flags is not None:
            self._flags.discard(flag)

    def is_flag_set(self, flag: str | int) -> bool:
        """Whether a flag is set."""
        return self._flags is not None and flag in self._flags

    def _writable(self) -> sip.Message:
        if self._message is self._transaction.request:
            self._message = self._transaction.request.copy()  # answers are made of the request as it came
        return self._message

    # -- answering

    def t_newtran(self) -> bool:
        """Whether it has a transaction that can answer; it has one from the beginning, until it is answered."""
        return not self._transaction.answered

    async def reply(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | str = b"",
        *,
        stateless: bool = False,
    ) -> None:
        """Answer. `stateless`: keep nothing, so that a retransmission comes here again (OpenSIPS' sl_send_reply).

        Raises TransactionError for a second final answer, and for 408 (RFC 4320 §4.2); ValueError for text that
        would end its line.
        """
        headers = tuple(headers)
        _check_line(reason or "")
        for name, value in headers:
            _check_line(name)
            _check_line(value)
        data = body.encode() if isinstance(body, str) else body
        if stateless:
            self._transaction.reply_statelessly(status, reason, headers, data)
        else:
            self._transaction.reply(status, reason, headers, data)
        self._answered_with(status)

    async def options_reply(self) -> None:
        """Answer an OPTIONS: 200 with what we do, 420 when it requires more (RFC 3261 §11.2)."""
        try:
            check_required(self._transaction.request, SUPPORTED)
        except SipError as error:
            self._refuse(error)
        else:
            self._answer(200, headers=(ALLOW, ("Accept", "*/*"), ("Supported", "path")))

    def _refuse(self, error: SipError) -> None:
        self._services.count(f"refused.{error.cause}")
        self._answer(error.status, error.reason, error.headers)

    def _answer(self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._transaction.reply(status, reason, headers)
        self._answered_with(status)

    def _answered_with(self, status: int) -> None:
        """Note the answer."""
        self._final = status

    def _must_be(self, method: str, word: str) -> None:
        if self.method != method:
            raise ValueError(f"{word} is for {method}, not for {self.method}")


def _check_line(text: str) -> None:
    if "\r" in text or "\n" in text:
        raise ValueError(f"{text!r} would end its line")
