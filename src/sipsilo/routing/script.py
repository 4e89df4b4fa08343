"""A routing script: functions that say what becomes of requests, each registered as a route of some kind."""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import structlog

from sipsilo.config.errors import Mistake

if TYPE_CHECKING:
    from sipsilo.routing.occasions import Context, Event
    from sipsilo.routing.parts import Branch, LocalRequest, Reply
    from sipsilo.routing.request import Request

Work = Coroutine[Any, Any, None]
Function = Callable[[Any], Work]

RequestFunction = TypeVar("RequestFunction", bound="Callable[[Request], Work]")
ReplyFunction = TypeVar("ReplyFunction", bound="Callable[[Reply], Work]")
BranchFunction = TypeVar("BranchFunction", bound="Callable[[Branch], Work]")
LocalFunction = TypeVar("LocalFunction", bound="Callable[[LocalRequest], Work]")
ContextFunction = TypeVar("ContextFunction", bound="Callable[[Context], Work]")
EventFunction = TypeVar("EventFunction", bound="Callable[[Event], Work]")

EVENTS = ("E_UL_CONTACT_INSERT", "E_UL_CONTACT_UPDATE", "E_UL_CONTACT_DELETE")
"""What event routes can be for: a contact was bound, bound anew, or is bound no more."""

log = structlog.get_logger(__name__)


class ScriptError(Exception):
    """A script that cannot be used; `mistakes` holds all that was found, the text a line for each."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


class Route(NamedTuple):
    """A function of a script, and where it stands."""

    function: Function
    file: str
    line: int

    @property
    def where(self) -> str:
        """Its place as an error message shows it."""
        return f"{shown(self.file)}:{self.line}"


class Timer(NamedTuple):
    """A timer route: every `interval` seconds."""

    interval: float
    route: Route


class Script:
    """The routes of a server. Its decorators register functions; each raises ScriptError for what cannot be."""

    def __init__(self) -> None:
        self.main: Route | None = None
        self.failures: dict[str, Route] = {}
        self.replies: dict[str, Route] = {}
        self.every_reply: Route | None = None
        self.branches: dict[str, Route] = {}
        self.startup: Route | None = None
        self.timers: list[Timer] = []
        self.events: dict[str, Route] = {}
        self.local: Route | None = None

    def request_route(self, function: RequestFunction) -> RequestFunction:
        """Register what every request that comes in goes through. There is one."""
        self.main = _only(self.main, function, "request_route")
        return function

    def failure_route(self, name: str) -> Callable[[RequestFunction], RequestFunction]:
        """Register what a request goes through that failed downstream after `t_on_failure(name)`."""
        return lambda function: _named(self.failures, name, function, "failure_route")

    @overload
    def onreply_route(self, name: ReplyFunction) -> ReplyFunction: ...
    @overload
    def onreply_route(self, name: str) -> Callable[[ReplyFunction], ReplyFunction]: ...
    def onreply_route(self, name: Any) -> Any:
        """Register what final replies to relayed requests go through: all, or those after `t_on_reply(name)`."""
        if isinstance(name, str):
            return lambda function: _named(self.replies, name, function, "onreply_route")
        self.every_reply = _only(self.every_reply, name, "onreply_route")
        return name

    def branch_route(self, name: str) -> Callable[[BranchFunction], BranchFunction]:
        """Register what each branch of a request goes through that is relayed after `t_on_branch(name)`."""
        return lambda function: _named(self.branches, name, function, "branch_route")

    def startup_route(self, function: ContextFunction) -> ContextFunction:
        """Register what is done once, at the start, when everything else is ready."""
        self.startup = _only(self.startup, function, "startup_route")
        return function

    def timer_route(self, interval: float = 60) -> Callable[[ContextFunction], ContextFunction]:
        """Register what is done every `interval` seconds, for the first time after one interval."""
        if not interval > 0:
            raise ValueError(f"timer_route(interval={interval!r}): accepted: seconds above 0")

        def register(function: ContextFunction) -> ContextFunction:
            self.timers.append(Timer(interval, _route(function)))
            return function

        return register

    def event_route(self, name: str) -> Callable[[EventFunction], EventFunction]:
        """Register what is done when a contact is bound, bound anew or gone; `name` is one of EVENTS."""
        if name not in EVENTS:
            raise ValueError(f"event_route({name!r}): accepted: {', '.join(EVENTS)}")
        return lambda function: _named(self.events, name, function, "event_route")

    def local_route(self, function: LocalFunction) -> LocalFunction:
        """Register what every request goes through that the server makes itself, before it is sent."""
        self.local = _only(self.local, function, "local_route")
        return function

    def request_function(self) -> Route:
        """The request route. Raises ScriptError when there is none."""
        if self.main is None:
            raise ScriptError(
                [Mistake("script", "no request route; accepted: one function under @script.request_route")]
            )
        return self.main


def _route(function: Function) -> Route:
    # A compiled function, as in the default route, has no code object.
    code = getattr(function, "__code__", None)
    if code is None:
        return Route(function, "", 0)
    route = Route(function, code.co_filename, code.co_firstlineno)
    if not inspect.iscoroutinefunction(function):
        raise ScriptError([Mistake(route.where, f"{function.__name__} is no async function; accepted: async def")])
    return route


def _only(before: Route | None, function: Function, kind: str) -> Route:
    route = _route(function)
    if before is not None:
        raise ScriptError([Mistake(route.where, f"a second {kind}; the first is at {before.where}")])
    return route


def _named(routes: dict[str, Route], name: str, function: Any, kind: str) -> Any:
    route = _route(function)
    if name in routes:
        raise ScriptError([Mistake(route.where, f"a second {kind}({name!r}); the first is at {routes[name].where}")])
    routes[name] = route
    return function


def shown(file: str) -> str:
    """A file as its author knows it: relative to where the program was started, if it is below that."""
    path = Path(file)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return file


async def run_route(route: Route, argument: object) -> Exception | None:
    """Go through a route; what it raised, which is logged with the script's line."""
    try:
        await route.function(argument)
    except Exception as error:  # noqa: BLE001  whatever a script does, the server goes on
        log_failure(route, error)
        return error
    return None


def log_failure(route: Route, error: Exception) -> None:
    """Tell what a route raised, with the script's line."""
    log.error(": ".join(failure(route, error)))


def failure(route: Route, error: Exception) -> tuple[str, str]:
    """Where a route failed, as the last line of its file that had a part in it, and what it raised."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == route.file]
    where = f"{shown(route.file)}:{lines[-1] if lines else route.line}"
    return where, f"{type(error).__name__}: {error}"
