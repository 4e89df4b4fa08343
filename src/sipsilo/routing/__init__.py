"""What becomes of a request. For scripts: `from sipsilo.routing import Script, Request`."""

from sipsilo.routing.occasions import Context, Event
from sipsilo.routing.parts import Branch, LocalRequest, Reply
from sipsilo.routing.request import Request
from sipsilo.routing.script import Script, ScriptError
from sipsilo.routing.stored import Stored

__all__ = ["Branch", "Context", "Event", "LocalRequest", "Reply", "Request", "Script", "ScriptError", "Stored"]
