"""What pseudo-variables hold, and what they are read from."""

import time
from collections.abc import Callable
from typing import Any

from sipsilo.endpoint import Incoming
from sipsilo.formats import Variable, parse_format, parse_variable
from sipsilo.routing.notes import Level, note
from sipsilo.sip.headers import NameAddr, unquote
from sipsilo.sip.message import Message
from sipsilo.sip.names import canonical_name
from sipsilo.sip.uri import Uri, parse_uri

Value = str | int | None

DEFAULT_PORT = 5060

_OF_THE_SERVER = frozenset(("via", "from", "to", "call-id", "cseq", "content-length"))
"""What makes a message the one that it is (RFC 3261 §16.6: a proxy does not change these)."""


class Scope:
    """A message that a route has in hand, with what is known around it.

    `message` is the request or response whose headers are read. `avp` and `var` are the script's own variables;
    they live as long as the request, and its branches and replies share them.
    """

    __slots__ = ("_avp", "_incoming", "_message", "_next_hop", "_uri", "_var")

    def __init__(self, message: Message, incoming: Incoming | None, uri: str) -> None:
        self._message = message
        self._incoming = incoming
        self._uri = uri
        self._next_hop: str | None = None
        self._avp: dict[str, Any] | None = None
        self._var: dict[str, Any] | None = None

    # -- reading

    @property
    def message(self) -> Message:
        """The message as it is now, for what this class has no word for. To be read only."""
        return self._message

    @property
    def method(self) -> str:
        """The method of the request, or of the request that this replies to."""
        return self._message.cseq.method

    @property
    def uri(self) -> str:
        """The Request-URI as it is now (`$ru`)."""
        return self._uri

    @property
    def next_hop(self) -> str | None:
        """The URI where the request goes, if not where its Request-URI points (`$du`)."""
        return self._next_hop

    @property
    def original_uri(self) -> str:
        """The Request-URI as it came (`$ou`)."""
        return self._uri if self._incoming is None else self._incoming.request.uri_text

    @property
    def from_uri(self) -> str:
        """The URI of the From header (`$fu`)."""
        return self._message.from_.uri_text

    @property
    def to_uri(self) -> str:
        """The URI of the To header (`$tu`)."""
        return self._message.to.uri_text

    @property
    def call_id(self) -> str:
        """The Call-ID (`$ci`)."""
        return self._message.call_id

    @property
    def body(self) -> bytes:
        """The body (`$rb` as text)."""
        return self._message.body

    @property
    def reply_status(self) -> int:
        """The status of the reply in hand: in a failure route of the best one (408 for silence), else 0."""
        return 0

    @property
    def reply_reason(self) -> str:
        """The reason phrase of that reply."""
        return ""

    def header(self, name: str) -> str | None:
        """The value of the first header field of that name (`$hdr(name)`)."""
        return self._message.get(canonical_name(name))

    def headers(self, name: str) -> list[str]:
        """The values of all header fields of that name, a line each."""
        return self._message.get_all(canonical_name(name))

    @property
    def avp(self) -> dict[str, Any]:
        """The request's own variables by name, as `$avp(name)`."""
        if self._avp is None:
            self._avp = {}
        return self._avp

    @property
    def has_avps(self) -> bool:
        """Whether any such variable has been set."""
        return self._avp is not None

    @property
    def var(self) -> dict[str, Any]:
        """More of them, as `$var(name)`."""
        if self._var is None:
            self._var = {}
        return self._var

    def __getitem__(self, name: str) -> Value:
        return value(self, parse_variable(name))

    def format(self, text: str) -> str:
        """A text with pseudo-variables, as in `*** User $rU is offline!`, filled in."""
        return parse_format(text).expand(lambda variable: value(self, variable))

    def log(self, text: str, level: Level = "info") -> None:
        """Write a line to the server's log, with the Call-ID."""
        note(text, level, call_id=self._message.get("call-id") or "")

    # -- changing

    def __setitem__(self, name: str, new: Value) -> None:
        variable = parse_variable(name)
        if variable.name == "$avp":
            self.avp[variable.argument] = new
        elif variable.name == "$var":
            self.var[variable.argument] = new
        elif variable.name == "$du":
            self._next_hop = None if new is None else parse_uri(str(new)).text
        elif variable.name in _OF_URI:
            self.set_uri(_OF_URI[variable.name](parse_uri(self._uri), "" if new is None else str(new)))
        else:
            raise ValueError(f"{name} cannot be changed; these can: $ru $rU $rd $rp $du $avp(x) $var(x)")

    def set_uri(self, text: str) -> None:
        """Change the Request-URI (`$ru`). Raises SipError for what is no URI."""
        self._uri = parse_uri(text).text

    def append_hf(self, name: str, value: str) -> None:
        """Add a header field to what goes on. Raises ValueError for what a script must not write."""
        if canonical_name(name) in _OF_THE_SERVER or not name or not value.isprintable():
            raise ValueError(f"append_hf({name!r}, …): not a header field that a script may write")
        self._writable().add(name, value)

    def remove_hf(self, name: str) -> bool:
        """Take out all header fields of that name; whether there were any. Raises ValueError as append_hf."""
        key = canonical_name(name)
        if key in _OF_THE_SERVER:
            raise ValueError(f"remove_hf({name!r}): not a header field that a script may take out")
        if self._message.get(key) is None:
            return False
        self._writable().remove(key)
        return True

    def _writable(self) -> Message:
        return self._message


def value(scope: Scope, variable: Variable) -> Value:
    """What a pseudo-variable holds; None for what is not there. Raises SipError for a header that cannot be read."""
    if variable.name == "$hdr":
        return scope.header(variable.argument)
    if variable.name == "$avp":
        return _as_value(scope.avp.get(variable.argument))
    if variable.name == "$var":
        return _as_value(scope.var.get(variable.argument))
    return _READERS[variable.name](scope)


def _as_value(held: object) -> Value:
    return held if held is None or isinstance(held, (str, int)) else str(held)


def _display(address: NameAddr) -> str | None:
    return unquote(address.display) or None


def _user(text: str) -> Value:
    return parse_uri(text).user


def _host(text: str) -> Value:
    return parse_uri(text).host or None


def _port(text: str) -> Value:
    return parse_uri(text).port or DEFAULT_PORT


def _source(scope: Scope, index: int) -> Value:
    return None if scope._incoming is None else scope._incoming.flow.remote[index]


def _local(scope: Scope, index: int) -> Value:
    return None if scope._incoming is None else scope._incoming.flow.own[index]


def _protocol(scope: Scope) -> Value:
    return None if scope._incoming is None else scope._incoming.flow.transport.lower()


def _text(scope: Scope) -> Value:
    return scope.body.decode(errors="replace") if scope.body else None


def _length(scope: Scope) -> Value:
    received = scope.message if scope._incoming is None else scope._incoming.request
    return len(received.to_bytes())


_READERS: dict[str, Callable[[Scope], Value]] = {
    "$ru": lambda scope: scope.uri,
    "$rU": lambda scope: _user(scope.uri),
    "$rd": lambda scope: _host(scope.uri),
    "$rp": lambda scope: _port(scope.uri),
    "$rm": lambda scope: scope.method,
    "$rb": _text,
    "$rs": lambda scope: scope.reply_status or None,
    "$rr": lambda scope: scope.reply_reason or None,
    "$fu": lambda scope: scope.from_uri,
    "$fU": lambda scope: _user(scope.from_uri),
    "$fd": lambda scope: _host(scope.from_uri),
    "$fn": lambda scope: _display(scope.message.from_),
    "$ft": lambda scope: scope.message.from_.tag,
    "$tu": lambda scope: scope.to_uri,
    "$tU": lambda scope: _user(scope.to_uri),
    "$td": lambda scope: _host(scope.to_uri),
    "$tn": lambda scope: _display(scope.message.to),
    "$tt": lambda scope: scope.message.to.tag,
    "$ci": lambda scope: scope.call_id,
    "$cs": lambda scope: scope.message.cseq.number,
    "$ct": lambda scope: scope.message.get("contact"),
    "$cT": lambda scope: scope.message.get("content-type"),
    "$cl": lambda scope: len(scope.body),
    "$du": lambda scope: scope.next_hop,
    "$ou": lambda scope: scope.original_uri,
    "$oU": lambda scope: _user(scope.original_uri),
    "$od": lambda scope: _host(scope.original_uri),
    "$si": lambda scope: _source(scope, 0),
    "$sp": lambda scope: _source(scope, 1),
    "$Ri": lambda scope: _local(scope, 0),
    "$Rp": lambda scope: _local(scope, 1),
    "$proto": _protocol,
    "$ua": lambda scope: scope.message.get("user-agent"),
    "$ml": _length,
    "$Ts": lambda scope: int(time.time()),
    "$Tf": lambda scope: time.ctime(),
    "$T_reply_code": lambda scope: scope.reply_status or None,
}


def _rebuilt(uri: Uri, user: str | None, host: str, port: str) -> str:
    """A URI with another user, host or port; the rest as it was."""
    if not uri.host:
        raise ValueError(f"{uri} has no user and host to change")
    _, _, rest = uri.text.partition("@" if uri.user is not None else ":")
    rest = rest[rest.find("]") + 1 if rest.startswith("[") else len(uri.host) :]
    if uri.port is not None:
        rest = rest[1:].lstrip("0123456789")
    password = "" if uri.password is None else f":{uri.password}"
    return f"{uri.scheme}:{f'{user}{password}@' if user else ''}{host}{f':{port}' if port else ''}{rest}"


_OF_URI: dict[str, Callable[[Uri, str], str]] = {
    "$ru": lambda uri, new: new,
    "$rU": lambda uri, new: _rebuilt(uri, new, uri.host, str(uri.port or "")),
    "$rd": lambda uri, new: _rebuilt(uri, uri.user, new, str(uri.port or "")),
    "$rp": lambda uri, new: _rebuilt(uri, uri.user, uri.host, new),
}
"""The assignable parts of the Request-URI, and what they make of it."""
