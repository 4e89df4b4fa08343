"""Debian's Kamailio with its msilo, on a database of the tests."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.acceptance.programs import LOOPBACK, find_program, free_port, wait_until
from tests.acceptance.wire import parse
from tests.databases import TestServer

CONFIG = Path(__file__).parents[2] / "bench" / "kamailio.cfg"
SCHEMAS = Path("/usr/share/kamailio")
PROBE = "OPTIONS sip:{0} SIP/2.0\r\nVia: SIP/2.0/UDP {0};branch=z9hG4bK{1};rport\r\nMax-Forwards: 70\r\n"
PROBE += (
    "From: <sip:probe@{0}>;tag=1\r\nTo: <sip:{0}>\r\nCall-ID: probe{1}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


def create_tables(server: TestServer, url: str) -> None:
    """The tables `version` and `silo`, by the SQL that Kamailio brings."""
    folder = SCHEMAS / server.scheme
    assert folder.exists(), f"apt-get install kamailio-{server.scheme}-modules"
    sql = "".join((folder / f"{part}-create.sql").read_text() for part in ("standard", "msilo"))
    server.run_script(sql, url.rpartition("/")[2])


class Kamailio:
    """A Kamailio on a free port of loopback (UDP), which stores for who is away and dumps at REGISTER."""

    def __init__(self, folder: Path, url: str) -> None:
        self.port = free_port()
        self._log = folder / "kamailio.log"
        program = find_program("kamailio", "kamailio")
        command = [program, "-DD", "-E", "-m", "64", "-M", "8", "-f", str(CONFIG), "-w", str(folder), "-Y", str(folder)]
        defines = {
            "CHILDREN": "2",
            "PORT": str(self.port),
            "DBMODULE": f'"db_{url.partition(":")[0]}.so"',
            "DBURL": f'"{url}"',
            "OBPROXY": f'"sip:{LOOPBACK}:{self.port}"',
        }
        command += [word for name, value in defines.items() for word in ("-A", f"{name}={value}")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, "an answer of Kamailio", 30)

    @property
    def log(self) -> str:
        """All that it has written."""
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"Kamailio ended at its start:\n{self.log[-4000:]}"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((LOOPBACK, self.port))
            probe.settimeout(0.2)
            try:
                probe.send(PROBE.format(f"{LOOPBACK}:{probe.getsockname()[1]}", os.urandom(4).hex()).encode())
                return parse(probe.recv(65_536)).status >= 200
            except (TimeoutError, ConnectionRefusedError):
                return False

    def close(self) -> None:
        """End it with its children."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
