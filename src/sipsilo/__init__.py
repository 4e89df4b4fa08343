"""sipsilo: a SIP MESSAGE for a user who is not there is kept safely, and reaches them when they register.

To run it inside your own asyncio program:

    async with sipsilo.Server(sipsilo.Settings(...)) as server:
        print(server.listening)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipsilo.config import ConfigError, Settings, load_settings
    from sipsilo.server import ScriptError, Server, StartError, load_script

__version__ = "0.1.0.dev0"

__all__ = [
    "ConfigError",
    "ScriptError",
    "Server",
    "Settings",
    "StartError",
    "__version__",
    "load_script",
    "load_settings",
]

_PLACES = {
    "ConfigError": "sipsilo.config",
    "ScriptError": "sipsilo.server",
    "Server": "sipsilo.server",
    "Settings": "sipsilo.config",
    "StartError": "sipsilo.server",
    "load_script": "sipsilo.server",
    "load_settings": "sipsilo.config",
}
"""Where each name comes from, at its first use: `import sipsilo` alone costs nothing."""


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'sipsilo' has no attribute {name!r}")
    value: object = getattr(import_module(place), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
