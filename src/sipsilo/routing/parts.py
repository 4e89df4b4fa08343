"""What routes have in hand that see one message of many: a branch, a reply, a request that the server makes."""

from sipsilo.routing.relay import Target
from sipsilo.routing.variables import Scope
from sipsilo.sip.message import Request, Response


class Branch(Scope):
    """A branch of a request that is relayed: the copy for one target. Changes are this branch's alone."""

    __slots__ = ("_dropped", "_request", "_target")

    def __init__(self, request: Request, target: Target, whole: Scope) -> None:
        super().__init__(request, whole._incoming, target.uri)
        self._request = request
        self._target = target
        self._dropped = False
        self._next_hop = target.next_hop
        self._avp, self._var = whole.avp, whole.var

    def drop(self) -> None:
        """Do not send this branch; it counts as one that cannot be reached."""
        self._dropped = True

    def target(self) -> Target | None:
        """Where it goes now, its request changed to fit; None when it was dropped."""
        if self._dropped:
            return None
        self._request.uri_text = self._uri
        # Another Request-URI is another target: what the registrar knows of the old one does not hold.
        binding = self._target.binding if self._uri == self._target.uri else None
        return self._target._replace(uri=self._uri, binding=binding, next_hop=self._next_hop)


class Reply(Scope):
    """A final reply to a request that was relayed, before it is judged and goes upstream."""

    __slots__ = ("_response",)

    def __init__(self, response: Response, whole: Scope) -> None:
        super().__init__(response, whole._incoming, whole._uri)
        self._response = response
        self._avp, self._var = whole.avp, whole.var

    @property
    def reply_status(self) -> int:
        """Its status (`$rs`, `$T_reply_code`)."""
        return self._response.status

    @property
    def reply_reason(self) -> str:
        """Its reason phrase (`$rr`)."""
        return self._response.reason

    def set_uri(self, text: str) -> None:
        """A reply has no Request-URI: raises ValueError."""
        raise ValueError("the Request-URI cannot be changed in an onreply route")


class LocalRequest(Scope):
    """A request that the server makes itself, before it is sent. Its headers can be changed."""

    __slots__ = ()

    def __init__(self, request: Request) -> None:
        super().__init__(request, None, request.uri_text)

    def set_uri(self, text: str) -> None:
        """Where it goes is settled already: raises ValueError."""
        raise ValueError("the Request-URI cannot be changed in a local route")
