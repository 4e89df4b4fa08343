"""From file, environment and flags to settings, and every mistake with its place."""

from pathlib import Path
from typing import Any

import pytest

from sipsilo.config import ConfigError, Listen, Settings, load_settings
from sipsilo.config.database_url import ACCEPTED

FILE = "sipsilo.toml"


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str | None = None, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    if text is not None:
        Path(FILE).write_text(text, encoding="utf-8")
    given = {f"--{name.replace('_', '-')}": value for name, value in flags.items()}
    return load_settings(Path(FILE) if text is not None else None, environ or {}, given)


def mistakes(text: str | None = None, environ: dict[str, str] | None = None, **flags: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, environ, **flags)
    assert str(caught.value) == "\n".join(map(str, caught.value.mistakes))
    return str(caught.value).split("\n")


def test_nothing_said_means_the_defaults(tmp_path: Path) -> None:
    settings = load()
    assert settings.server.listen == (Listen("udp", "127.0.0.1", 5060), Listen("tcp", "127.0.0.1", 5060))
    assert settings.server.domains == ()
    assert settings.server.node_id is None
    assert settings.registrar.default_expires == 3600
    assert settings.proxy.relay_timeout == 10
    assert settings.msilo.expire_time == 259_200
    assert settings.msilo.add_date is True
    assert settings.msilo.db_url == f"sqlite:///{tmp_path}/silo.db"


def test_a_file_says_it_in_sections() -> None:
    settings = load(
        """
        [server]
        listen = ["udp:0.0.0.0:5060;advertise=sip.example.org", "tcp:[::1]:0"]
        domains = ["Example.org", "[2001:DB8::1]"]
        node_id = "one"
        idle_timeout = 90
        [proxy]
        relay_timeout = 2.5
        [msilo]
        add_date = 0
        """
    )
    assert settings.server.listen == (
        Listen("udp", "0.0.0.0", 5060, "sip.example.org"),
        Listen("tcp", "::1", 0),
    )
    assert settings.server.domains == ("example.org", "[2001:db8::1]")
    assert settings.server.node_id == "one"
    assert settings.server.idle_timeout == 90
    assert settings.proxy.relay_timeout == 2.5
    assert settings.msilo.add_date is False
    assert settings.registrar.min_expires == 60


@pytest.mark.parametrize(
    ("variable", "value", "section", "name", "expected"),
    [
        ("SIPSILO_MSILO__EXPIRE_TIME", "60", "msilo", "expire_time", 60),
        ("SIPSILO_MSILO__ADD_DATE", "0", "msilo", "add_date", False),
        ("SIPSILO_MSILO__ADD_DATE", "true", "msilo", "add_date", True),
        ("SIPSILO_PROXY__RELAY_TIMEOUT", "0.5", "proxy", "relay_timeout", 0.5),
        ("SIPSILO_SERVER__NODE_ID", "one", "server", "node_id", "one"),
        ("SIPSILO_SERVER__DOMAINS", "a.org, B.org", "server", "domains", ("a.org", "b.org")),
        ("SIPSILO_SERVER__DOMAINS", '["a.org", "b.org"]', "server", "domains", ("a.org", "b.org")),
        ("SIPSILO_SERVER__DOMAINS", "[::1]", "server", "domains", ("[::1]",)),
        ("SIPSILO_SERVER__DOMAINS", "10", "server", "domains", ("10",)),
        ("SIPSILO_SERVER__DOMAINS", "", "server", "domains", ()),
        ("SIPSILO_SERVER__LISTEN", "tcp:[::1]:0", "server", "listen", (Listen("tcp", "::1", 0),)),
    ],
)
def test_the_environment_says_it_as_text(variable: str, value: str, section: str, name: str, expected: object) -> None:
    assert getattr(getattr(load(environ={variable: value}), section), name) == expected


def test_flag_over_environment_over_file_over_default() -> None:
    text = "[server]\ndomains = ['file.org']\nnode_id = 'file'\nlisten = ['udp:127.0.0.1:1']"
    environ = {"SIPSILO_SERVER__NODE_ID": "env", "SIPSILO_SERVER__LISTEN": "udp:127.0.0.1:2"}
    server = load(text, environ, listen=["udp:127.0.0.1:3"]).server
    assert server.domains == ("file.org",)
    assert server.node_id == "env"
    assert server.listen == (Listen("udp", "127.0.0.1", 3),)
    assert server.max_connections == 10_000


def test_a_relative_database_starts_where_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / FILE

    def db_url(environ: dict[str, str], flags: dict[str, str]) -> str:
        return load_settings(Path("etc") / FILE, environ, flags).msilo.db_url

    file.write_text("")
    assert db_url({}, {}) == f"sqlite:///{folder}/silo.db"
    file.write_text("[msilo]\ndb_url = 'sqlite:///../data/s.db'")
    assert db_url({}, {}) == f"sqlite:///{tmp_path}/data/s.db"
    assert db_url({"SIPSILO_MSILO__DB_URL": "sqlite:///e.db"}, {}) == f"sqlite:///{tmp_path}/e.db"
    assert db_url({}, {"--db-url": "sqlite:///f.db"}) == f"sqlite:///{tmp_path}/f.db"
    assert db_url({}, {"--db-url": "sqlite:////var/f.db"}) == "sqlite:////var/f.db"


WHOLE = "is not a whole number; accepted: whole seconds from 1 to 315360000"
LISTEN = (
    '; accepted: a list of "udp:HOST:PORT" or "tcp:HOST:PORT", IPv6 in brackets,'
    ' ";advertise=HOST" or ";advertise=HOST:PORT" behind it'
)
DATABASES = f"; accepted: {ACCEPTED}"


@pytest.mark.parametrize(
    ("section", "line", "told"),
    [
        ("msilo", "expire_time = 'abc'", f"msilo.expire_time: 'abc' {WHOLE}"),
        ("msilo", "expire_time = '60'", f"msilo.expire_time: '60' {WHOLE}"),
        ("msilo", "expire_time = 1.5", f"msilo.expire_time: 1.5 {WHOLE}"),
        ("msilo", "expire_time = true", f"msilo.expire_time: true {WHOLE}"),
        ("msilo", "expire_time = [1]", f"msilo.expire_time: [1] {WHOLE}"),
        ("msilo", "expire_time = 2026-01-02", f"msilo.expire_time: 2026-01-02 {WHOLE}"),
        (
            "msilo",
            "expire_time = 0",
            "msilo.expire_time: 0 is out of range; accepted: whole seconds from 1 to 315360000",
        ),
        (
            "proxy",
            "relay_timeout = 31",
            "proxy.relay_timeout: 31 is out of range; accepted: seconds from 0.1 to 30",
        ),
        (
            "proxy",
            "relay_timeout = nan",
            "proxy.relay_timeout: nan is not a number; accepted: seconds from 0.1 to 30",
        ),
        ("msilo", "add_date = 2", "msilo.add_date: 2 is neither 0 nor 1; accepted: 0 or 1"),
        ("msilo", "add_date = 'yes'", "msilo.add_date: 'yes' is neither 0 nor 1; accepted: 0 or 1"),
        ("server", "listen = []", f"server.listen: [] is empty{LISTEN}"),
        ("server", "listen = 5", f"server.listen: 5 is not a list{LISTEN}"),
        ("server", "listen = ['udp:h']", f"server.listen: 'udp:h' has no port{LISTEN}"),
        (
            "server",
            "domains = ['a b']",
            "server.domains: 'a b' is no host or host:port;"
            ' accepted: a list of host names or addresses, such as ["example.org"]',
        ),
        (
            "server",
            "node_id = 'a b'",
            "server.node_id: 'a b' is not a text of that kind; accepted: 1 to 64 visible ASCII characters",
        ),
        ("msilo", "db_url = 'sqlite://'", f"msilo.db_url: 'sqlite://' does not name a file{DATABASES}"),
        (
            "msilo",
            "db_url = 'text:///var/dbtext'",
            "msilo.db_url: text:… (dbtext) is no database that could keep an acknowledged message;"
            f" take its messages over into one: sipsilo db import text:///var/dbtext{DATABASES}",
        ),
        ("msilo", "expire_tim = 1", "msilo.expire_tim: unknown parameter; did you mean msilo.expire_time?"),
        ("server", "db_url = 1", "server.db_url: unknown parameter; did you mean msilo.db_url?"),
        ("server", "zzz = 1", "server.zzz: unknown parameter"),
        ("server", "tls.port = 1", "server.tls: unknown parameter"),
    ],
)
def test_a_mistake_names_its_line_and_what_is_accepted(section: str, line: str, told: str) -> None:
    assert mistakes(f"# comment\n[{section}]\n\n{line}\n") == [f"{FILE}:4: {told}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[mslio]\nx = 1", f"{FILE}:1: unknown section [mslio]; did you mean [msilo]?"),
        ("\n[zzz]", f"{FILE}:2: unknown section [zzz]"),
        ("listen = []", f"{FILE}:1: unknown parameter listen; did you mean server.listen?"),
        (
            "server = 1",
            f"{FILE}:1: server is a section; accepted: [server] on a line of its own, its parameters below it",
        ),
        ("[server]\nnode_id = one", f"{FILE}:2: not TOML: Invalid value"),
        ("[server]\n[server]", f"{FILE}:2: not TOML: Cannot declare ('server',) twice"),
        ("[server]\nlisten = [\n'a'\n", f"{FILE}:3: not TOML: Unclosed array"),
    ],
)
def test_a_file_that_is_not_as_it_should_be(text: str, told: str) -> None:
    assert mistakes(text) == [told]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    Path(FILE).write_bytes(b"[server]\n# \xff\n")
    for path, told in [
        (FILE, f"{FILE}:2: not UTF-8, as TOML must be"),
        ("absent.toml", "absent.toml: cannot be read: No such file or directory"),
        (".", ".: cannot be read: Is a directory"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_settings(Path(path), {}, {})
        assert str(caught.value) == told


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"SIPSILO_MSILO__EXPIRE_TIME": "abc"}, f"SIPSILO_MSILO__EXPIRE_TIME: 'abc' {WHOLE}"),
        (
            {"SIPSILO_MSILO__EXPIRETIME": "5"},
            "SIPSILO_MSILO__EXPIRETIME: unknown parameter; did you mean SIPSILO_MSILO__EXPIRE_TIME?",
        ),
        (
            {"SIPSILO_MSILO_DB_URL": "sqlite:///s.db"},
            "SIPSILO_MSILO_DB_URL: unknown parameter; did you mean SIPSILO_MSILO__DB_URL?",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(environ: dict[str, str], told: str) -> None:
    assert mistakes(environ=environ) == [told]


def test_variables_that_others_set_are_left_alone() -> None:
    load(environ={"SIPSILO_SERVICE_HOST": "10.0.0.1", "SIPSILO_PORT": "tcp://10.0.0.1:5060", "PATH": "/bin"})


def test_a_mistake_in_a_flag_names_the_flag() -> None:
    assert mistakes(listen=["udp:h"], domain=["a b"], db_url="mysql://h/") == [
        f"--listen: 'udp:h' has no port{LISTEN}",
        "--domain: 'a b' is no host or host:port;"
        ' accepted: a list of host names or addresses, such as ["example.org"]',
        f"--db-url: mysql:… names no database as mysql://USER:PASSWORD@HOST:PORT/DATABASE does{DATABASES}",
    ]


def test_every_mistake_of_every_source_is_told() -> None:
    text = "[server]\nlisten = ['udp:h', 'h:5']\nzzz = 1\n[msilo]\nadd_date = 3\n[proxy]\nrelay_timeout = 0"
    told = mistakes(text, {"SIPSILO_MSILO__CHECK_TIME": "x"}, db_url="x")
    places = [line.split(": ")[0] for line in told]
    assert places == [f"{FILE}:{n}" for n in (2, 2, 3, 5, 7)] + ["SIPSILO_MSILO__CHECK_TIME", "--db-url"]


def test_a_file_that_is_no_toml_does_not_hide_the_other_mistakes() -> None:
    assert len(mistakes("[server", {"SIPSILO_MSILO__CHECK_TIME": "x"}, db_url="x")) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[server]\nlisten = ['udp:127.0.0.1:5060', 'udp:0.0.0.0:5060']",
            f"{FILE}:2: server.listen: udp:0.0.0.0:5060 can be reached from outside,"
            " while server.domains is empty;"
            ' accepted: server.domains with the hosts that we serve, such as ["example.org"]',
        ),
        (
            "[server]\nlisten = ['udp:127.0.0.1:5060', 'udp:127.0.0.1:5060']",
            f"{FILE}:2: server.listen: udp:127.0.0.1:5060 twice; accepted: each address once",
        ),
        (
            "[registrar]\nmax_expires = 600",
            f"{FILE}:2: registrar.max_expires: default_expires is 3600;"
            " accepted: from min_expires, 60, to max_expires, 600",
        ),
        (
            "[registrar]\nmin_expires = 100\ndefault_expires = 99",
            f"{FILE}:3: registrar.default_expires: default_expires is 99;"
            " accepted: from min_expires, 100, to max_expires, 86400",
        ),
    ],
)
def test_values_that_contradict_each_other(text: str, told: str) -> None:
    assert mistakes(text) == [told]


def test_free_ports_may_be_asked_for_more_than_once() -> None:
    assert len(load(listen=["udp:127.0.0.1:0", "udp:127.0.0.1:0"]).server.listen) == 2


def test_no_contradiction_is_made_of_a_mistake() -> None:
    told = mistakes("[server]\nlisten = ['udp:0.0.0.0:5060']\ndomains = ['a b']")
    assert len(told) == 1
    assert "'a b'" in told[0]
