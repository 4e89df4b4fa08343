"""SIPp with the scenarios of this folder."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.agent import DOMAIN
from tests.acceptance.programs import LOOPBACK, find_program, free_port

_SCENARIOS = Path(__file__).with_name("scenarios")
_SECONDS = 60


def run_sipp(
    folder: Path, server_port: int, scenario: str, users: Sequence[str], transport: str, window: int = 64
) -> list[str]:
    """Run a scenario once for each user, `window` of them at a time.

    All goes through one socket. Returns the lines that receive.xml logged for what was delivered; raises
    AssertionError where a call fails.
    """
    program = find_program("sipp", "sip-tester")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "users.csv").write_text("SEQUENTIAL\n" + "".join(f"{user};\n" for user in users))
    command = [program, f"{LOOPBACK}:{server_port}", "-sf", str(_SCENARIOS / f"{scenario}.xml")]
    command += ["-oocsf", str(_SCENARIOS / "receive.xml"), "-inf", "users.csv", "-key", "domain", DOMAIN]
    command += ["-t", {"udp": "u1", "tcp": "t1"}[transport], "-i", LOOPBACK, "-p", str(free_port())]
    command += ["-m", str(len(users)), "-l", str(window), "-r", "100000", "-nostdin", "-timer_resol", "1"]
    command += ["-timeout", str(_SECONDS), "-timeout_error", "-trace_logs", "-log_file", "delivered.log"]
    command += ["-trace_err", "-error_file", "errors.log"]
    with (folder / "screen.log").open("wb") as screen:
        code = subprocess.run(command, cwd=folder, stdout=screen, stderr=screen, check=False).returncode
    assert code == 0, f"SIPp's exit code {code}: {_errors(folder)}"
    log = folder / "delivered.log"
    return log.read_text().splitlines() if log.exists() else []


def _errors(folder: Path) -> str:
    """What SIPp says of a failure, without its notes on messages out of call."""
    log = folder / "errors.log"
    text = log.read_text(errors="replace") if log.exists() else (folder / "screen.log").read_text()
    return "\n".join(line for line in text.splitlines() if "out-of-call" not in line)[:2000]
