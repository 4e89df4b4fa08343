"""The real program as a process, with its settings, its database and its last words."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.agent import DOMAIN
from tests.acceptance.database import Database, SqliteFile
from tests.acceptance.programs import LOOPBACK, free_port, wait_until

Settings = Mapping[str, Mapping[str, object]]


class Server:
    """One sipsilo on a free port of loopback, the same one for UDP and TCP and after each restart.

    `settings` are tables of sipsilo.toml, laid over those that every test wants. Without a `database`: an SQLite file.
    """

    def __init__(self, folder: Path, settings: Settings, database: Database | None = None) -> None:
        self.port = free_port()
        self.database = database or SqliteFile(folder)
        self.config = folder / "sipsilo.toml"
        self._log = folder / "server.log"
        self._log.touch()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.arguments: list[str] = []
        """What the command gets beside its configuration."""
        self._write(settings)

    def _write(self, settings: Settings) -> None:
        address = f"{LOOPBACK}:{self.port}"
        tables: dict[str, dict[str, object]] = {
            "server": {"listen": [f"udp:{address}", f"tcp:{address}"], "domains": [DOMAIN, "localhost"]},
            "msilo": {"db_url": self.database.url},
            "proxy": {"relay_timeout": 1},
        }
        for name, table in settings.items():
            tables.setdefault(name, {}).update(table)
        lines = []
        for name, table in tables.items():
            lines.append(f"[{name}]")
            # The strings, numbers, booleans and lists of JSON are TOML as well.
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "the server is not running"
        return self._process

    @property
    def log(self) -> str:
        """All that the server has written to stderr, over its restarts."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the server and wait until it says that it is ready."""
        self._starts += 1
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SIPSILO_")}
        command = [sys.executable, "-m", "sipsilo", "run", "--config", str(self.config), *self.arguments]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        wait_until(self._is_ready, "the server's ready line", 20)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"the server ended at start:\n{self.log[-4000:]}"
        return len(re.findall(r"^sipsilo ready:", self.log, re.M)) == self._starts

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.process.kill()
        self.process.wait()
        self._process = None

    def terminate(self) -> None:
        """SIGTERM; `stopped()` waits for the end."""
        self.process.send_signal(signal.SIGTERM)

    def stopped(self, timeout: float = 10) -> dict[str, int]:
        """Wait for the end of a graceful stop; the counters that the server prints then."""
        code = self.process.wait(timeout)
        self._process = None
        assert code == 0, f"exit code {code}:\n{self.log[-4000:]}"
        return read_counters(self.log)

    def stop(self) -> dict[str, int]:
        """Stop gracefully; the counters that the server prints then."""
        self.terminate()
        return self.stopped()

    def close(self) -> None:
        """End the process, however the test went."""
        if self._process is not None:
            self.kill()

    def query(self, sql: str, *values: object) -> list[tuple[object, ...]]:
        """Ask the server's database."""
        return self.database.query(sql, *values)

    def bodies(self, owner: str = "") -> list[str]:
        """The bodies of all stored messages, or of one user's, in the order of their ids."""
        rows = self.query("SELECT body FROM silo WHERE ? IN ('', username) ORDER BY mid", owner)
        return [body.decode() if isinstance(body, bytes) else str(body) for (body,) in rows]

    def stored(self, owner: str = "") -> int:
        """How many messages are stored, or how many of one user."""
        return len(self.bodies(owner))

    def wait_empty(self, owner: str = "") -> None:
        """Wait until no message, or none of one user, is stored any more."""
        wait_until(lambda: not self.stored(owner), "an empty silo table")


def read_counters(log: str) -> dict[str, int]:
    """The name=value pairs of the last `sipsilo stopped:` line."""
    lines = re.findall(r"^sipsilo stopped:(.*)$", log, re.M)
    assert lines, f"no line 'sipsilo stopped: …' in:\n{log[-4000:]}"
    return {name: int(value) for name, value in re.findall(r"([\w.-]+)=(\d+)", lines[-1])}
