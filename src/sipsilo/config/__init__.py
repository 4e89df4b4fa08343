"""Typed settings from a TOML file, the environment and flags; every mistake is told with its place."""

from sipsilo.config.errors import ConfigError, Mistake
from sipsilo.config.listen import Listen
from sipsilo.config.load import load_settings
from sipsilo.config.settings import Msilo, Proxy, Registrar, Server, Settings

__all__ = [
    "ConfigError",
    "Listen",
    "Mistake",
    "Msilo",
    "Proxy",
    "Registrar",
    "Server",
    "Settings",
    "load_settings",
]
