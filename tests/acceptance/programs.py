"""Where the programs are that the tests drive, and free ports for them."""

import random
import shutil
import socket
import time
from collections.abc import Callable

import pytest

LOOPBACK = "127.0.0.1"


def find_program(name: str, package: str) -> str:
    """The path of a program; the test fails with the Debian package to install where it is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install {package}", pytrace=False)
    return path


def free_port() -> int:
    """A port on loopback that is free for UDP and TCP.

    It lies below the ports that the kernel gives out by itself, so no other socket takes it by chance
    while a server is restarted.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind((LOOPBACK, port))
        except OSError:
            continue
        return port


def wait_until(condition: Callable[[], object], what: str, timeout: float = 10) -> None:
    """Return as soon as the condition holds; raise AssertionError after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.01)
