"""`sipsilo db`, `remind`, `reminders` and `stats` on a SQLite file: what they say, and their exit codes."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sipsilo.cli.app import app
from tests.storage.foreign import KAMAILIO

CONFIG = """
[server]
timezone = "Europe/Berlin"
[msilo]
reminder = "sip:reminder@example.org"
send_time = 5
max_messages = 3
"""
LATER = "2096-12-24T18:00"
AT = "2096-12-24T18:00:00+01:00"


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIPSILO_MSILO__DB_URL", raising=False)
    Path("sipsilo.toml").write_text(CONFIG)


def sipsilo(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", "sipsilo.toml"])


def done(*arguments: str) -> str:
    result = sipsilo(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(*arguments: str) -> str:
    """What is said on stderr, in one line."""
    result = sipsilo(*arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
    return result.stderr.strip()


def execute(sql: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect("silo.db")) as connection, connection:
        return connection.execute(sql, values).fetchall()


def test_init_check_upgrade(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/silo.db"
    assert refused("db", "check") == f"{url}: No such file or directory"
    assert done("db", "init") == f"{url}: made the tables, silo for messages\n"
    assert done("db", "check") == f"{url}: ok\n"
    assert done("db", "upgrade") == f"{url}: has all that sipsilo needs\n"
    assert refused("db", "init") == f"{url}: table silo exists already and has all that sipsilo needs"


def test_check_names_the_command_that_mends(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/silo.db"
    execute("CREATE TABLE other (x INT)")
    result = sipsilo("db", "check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{url}: there is no table silo\nmend this with: sipsilo db init\n"
    for statement in KAMAILIO["sqlite"].split(";"):
        execute(statement)
    result = sipsilo("db", "check")
    assert f"{url}: table silo has no column src_name, dst_name, orig_time, " in result.stderr
    assert result.stderr.endswith("mend this with: sipsilo db upgrade\n")
    assert refused("db", "init") == f"{url}: table silo exists already; type: sipsilo db upgrade"
    told = done("db", "upgrade").splitlines()
    assert [line.replace("mended: ", "") for line in told] == result.stderr.splitlines()[:-1]
    assert done("db", "check") == f"{url}: ok\n"


def test_columns_may_have_other_names() -> None:
    with Path("sipsilo.toml").open("a") as file:
        file.write('db_table = "offline"\nsc_body = "content"\nsc_mid = "nr"\n')
    done("db", "init")
    assert execute("SELECT nr, content, src_addr FROM offline") == []


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    Path("silo.db").write_text("x" * 5000)
    for command in ("init", "upgrade", "check"):
        assert refused("db", command) == f"sqlite:///{tmp_path}/silo.db: file is not a database"


def test_export_and_import() -> None:
    done("db", "init")
    for number in range(3):
        done("remind", "--at", LATER, "sip:bob@example.org", f"Nr. {number}")
    result = sipsilo("db", "export", "text")
    assert (result.exit_code, result.stdout) == (0, "3 messages copied\nthe counts of source and target agree\n")
    assert refused("db", "export", "text").endswith("text/silo: has messages already; export to another directory")
    assert refused("db", "import", "text/silo") == (
        "text/silo is a file; accepted: sqlite:///text/silo, or a directory of dbtext"
    )
    for copied in (3, 0):
        result = sipsilo("db", "import", "text", "--db-url", "sqlite:///other.db")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"{copied} messages copied")
    result = sipsilo("db", "export", "sqlite:///other.db", "--again")
    assert result.stdout.startswith("3 messages copied\n")
    with closing(sqlite3.connect("other.db")) as connection:
        assert connection.execute("SELECT count(*) FROM silo").fetchone() == (6,)


def test_a_message_that_does_not_fit_is_told_and_the_exit_code_is_one() -> None:
    done("db", "init")
    done("remind", "--at", LATER, "sip:bob@example.org", "Hi")
    Path("text").mkdir()
    Path("text/silo").write_text(
        "id(int,auto) src_addr(str) dst_addr(str) username(str) domain(str) inc_time(int) exp_time(int) snd_time(int) "
        f"ctype(str) body(str)\n7:sip\\:a@x:sip\\:b@x:{'b' * 65}:x:1:2:0:text/plain:Hi\n"
    )
    result = sipsilo("db", "import", "text")
    assert (result.exit_code, result.stdout.splitlines()[:2]) == (
        1,
        ["0 messages copied", "1 message not copied, see above"],
    )
    assert "message 7 is not copied: username has 65 characters; the column holds 64\n" in result.stderr


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("oracle://a:secret@h/db", "oracle://a:***@h/db is no database URL"),
        ("mysql://a:secret@127.0.0.1:1/db", "mysql://a:***@127.0.0.1:1/db: cannot connect: Connection refused"),
        ("postgres://a:secret@127.0.0.1:1/db", "postgres://a:***@127.0.0.1:1/db: cannot connect: Connection refused"),
        ("sqlite:///nowhere.db", "sqlite:///nowhere.db: No such file or directory"),
        ("nowhere", "nowhere/silo: No such file or directory"),
    ],
)
def test_places_that_cannot_be_read(place: str, problem: str) -> None:
    done("db", "init")
    assert problem in refused("db", "import", place)


def test_reminders_are_written_listed_and_cancelled() -> None:
    done("db", "init")
    assert done("remind", "--at", "2097-01-01T00:00Z", "sip:carol@example.org", "[b]Feuerwerk[/b]") == (
        "reminder 1 for sip:carol@example.org at 2097-01-01T01:00:00+01:00\n"
    )
    assert done("remind", "--at", LATER, "sip:Bob@Example.Org;x=y", "Fröhliche\nWeihnachten") == (
        f"reminder 2 for sip:Bob@example.org at {AT}\n"
    )
    source, to, ctype, snd_time, next_try, exp_time, body = execute(
        "SELECT src_addr, dst_addr, ctype, snd_time, next_try, exp_time, body FROM silo WHERE mid=2"
    )[0]
    assert (source, to) == ("sip:reminder@example.org", "sip:Bob@Example.Org;x=y")
    assert (ctype, body) == ("text/plain;charset=UTF-8", "Fröhliche\nWeihnachten".encode())
    assert (next_try, exp_time) == (snd_time, int(str(snd_time)) + 259_200)

    listed = done("reminders", "list")
    assert listed.index("Weihnachten") < listed.index("[b]Feuerwerk[/b]")
    assert json.loads(done("reminders", "list", "--json", "--owner", "sip:Bob@example.org")) == [
        {
            "id": 2,
            "at": AT,
            "to": "sip:Bob@Example.Org;x=y",
            "owner": "sip:Bob@example.org",
            "text": "Fröhliche\nWeihnachten",
        }
    ]
    assert json.loads(done("reminders", "list", "--json", "--owner", "sip:bob@example.org")) == []
    assert done("reminders", "cancel", "2") == "reminder 2: cancelled\n"
    assert refused("reminders", "cancel", "2") == "reminder 2: there is none"
    assert execute("SELECT mid FROM silo") == [(1,)]


def test_messages_are_no_reminders() -> None:
    done("db", "init")
    execute("INSERT INTO silo (username, domain, exp_time) VALUES ('bob', 'example.org', 4000000000)")
    assert done("reminders", "list") == "no reminders\n"
    assert refused("reminders", "cancel", "1") == "reminder 1: there is none"
    assert execute("SELECT mid FROM silo") == [(1,)]


def test_the_quota_counts_reminders_too() -> None:
    done("db", "init")
    for _ in range(3):
        done("remind", "--at", LATER, "sip:bob@example.org", "Hi")
    assert refused("remind", "--at", LATER, "sip:bob@example.org", "Hi") == (
        "no reminder: sip:bob@example.org has 3 messages, as many as one may have"
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["2020-01-01T00:00", "sip:bob@x"], "its time is past"),
        (["tomorrow", "sip:bob@x"], "'tomorrow' is no time such as 20261224180000 or 2026-12-24T18:00:00+01:00"),
        ([LATER, "bob"], "'bob' is no URI such as sip:bob@example.org"),
        ([LATER, "sip:x"], "'sip:x' names no user, as sip:bob@example.org does"),
        ([LATER, "sip:bob@x", "--from", "sip:<"], "'sip:<' is no URI such as sip:bob@example.org"),
        ([LATER, f"sip:{'b' * 65}@x"], "Header Too Long To Be Stored"),
    ],
)
def test_reminders_that_cannot_be(arguments: list[str], problem: str) -> None:
    done("db", "init")
    at, to, *more = arguments
    assert refused("remind", "--at", at, to, "Hi", *more) == f"no reminder: {problem}"
    assert execute("SELECT mid FROM silo") == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [('reminder = "sip:r@x"', "send_time is 0"), ("send_time = 5", "reminder is not set")],
)
def test_no_reminder_while_they_are_switched_off(config: str, problem: str) -> None:
    Path("sipsilo.toml").write_text(f"[msilo]\n{config}\n")
    assert refused("remind", "--at", LATER, "sip:bob@x", "Hi").startswith(f"reminders are switched off: {problem}; ")


def test_stats_of_several_servers() -> None:
    done("db", "init")
    for node, count in (("one", 3), ("two", 4)):
        execute("INSERT INTO sipsilo_statistics VALUES (?, 'stored_messages', ?)", node, count)
        execute("INSERT INTO sipsilo_statistics VALUES (?, 'dumped_reminders', 1)", node)
    execute("INSERT INTO silo (username, domain, inc_time, snd_time) VALUES ('bob', 'x', 1000000000, 5)")
    figures = json.loads(done("stats", "--json"))
    assert figures["nodes"] == {
        "one": {"stored_messages": 3, "dumped_reminders": 1},
        "two": {"stored_messages": 4, "dumped_reminders": 1},
    }
    assert figures["sum"] == {
        "stored_messages": 7,
        "dumped_messages": 0,
        "failed_messages": 0,
        "dumped_reminders": 2,
        "failed_reminders": 0,
    }
    assert (figures["now"]["stored"], figures["now"]["due_reminders"]) == (1, 1)
    assert figures["now"]["oldest_age"] > 790_000_000
    printed = done("stats")
    assert "│ stored_messages  │ 3   │ 4   │ 7   │" in printed
    assert "stored: 1\ndue_reminders: 1\noldest_age: " in printed


@pytest.mark.parametrize("command", [["stats"], ["reminders", "list"], ["remind", "--at", LATER, "sip:b@x", "Hi"]])
def test_tables_that_are_not_ready_are_told(command: list[str], tmp_path: Path) -> None:
    execute("CREATE TABLE other (x INT)")
    assert refused(*command) == f"sqlite:///{tmp_path}/silo.db: there is no table silo; type: sipsilo db init"
