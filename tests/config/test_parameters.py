"""Every parameter of SPEC.md chapter 1, and ours beside it: its default, what it takes, what it does not."""

from pathlib import Path
from typing import Any

import pytest

from sipsilo.config import ConfigError, Msilo, Server, Settings, load_settings
from sipsilo.config.settings import OWN_COLUMNS, PARAMETERS
from sipsilo.formats import Format, Variable, parse_format
from sipsilo.storage.tables import SiloNames, Tables

CONTENT_TYPE = r'content_type_hdr = "Content-Type: text/plain\r\n"'


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(text: str, section: str = "msilo") -> Settings:
    Path("sipsilo.toml").write_text(f"[{section}]\n{text}\n", encoding="utf-8")
    return load_settings(Path("sipsilo.toml"), {}, {})


def mistake(text: str, section: str = "msilo") -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, section)
    assert "\n" not in str(caught.value)
    return str(caught.value)


DEFAULTS: dict[str, object] = {
    "db_table": "silo",
    "sc_mid": None,
    "sc_from": "src_addr",
    "sc_to": "dst_addr",
    "sc_uri_user": "username",
    "sc_uri_host": "domain",
    "sc_body": "body",
    "sc_ctype": "ctype",
    "sc_exp_time": "exp_time",
    "sc_inc_time": "inc_time",
    "sc_snd_time": "snd_time",
    "sc_stored_hdrs": "extra_hdrs",
    "sc_callid": "callid",
    "sc_status": "status",
    "from_address": None,
    "contact_hdr": None,
    "offline_message": None,
    "content_type_hdr": None,
    "reminder": None,
    "outbound_proxy": None,
    "expire_time": 259_200,
    "check_time": 30,
    "send_time": 0,
    "clean_period": 5,
    "use_contact": True,
    "snd_time_avp": None,
    "add_date": True,
    "max_messages": 0,
    "extra_hdrs": None,
    "extra_hdrs_avp": None,
    "add_contact": False,
    "skip_notification_flag": None,
    "use_mode": False,
    "db_pool": 2,
    "notice_interval": 60,
    "max_udp_request": 60_000,
    "parallel_deliveries": 256,
    "max_pending_stores": 10_000,
}


def test_defaults_are_the_guides() -> None:
    loaded = load("").msilo
    assert {name: getattr(loaded, name) for name in DEFAULTS} == DEFAULTS
    assert {name for section, name in PARAMETERS if section == "msilo"} == {*DEFAULTS, "db_url"}


TAKEN: list[tuple[str, object]] = [
    ("db_table = 'silo_2'", "silo_2"),
    ("db_table = '_S'", "_S"),
    ("from_address = 'sip:registrar@example.org'", parse_format("sip:registrar@example.org")),
    ("from_address = 'sip:$rU@example.org'", Format(("sip:", Variable("$rU"), "@example.org"))),
    ("from_address = 'sip:offline@$rd:$rp;x=$avp(a)'", parse_format("sip:offline@$rd:$rp;x=$avp(a)")),
    ("from_address = '$ru'", parse_format("$ru")),
    (r'contact_hdr = "Contact: <sip:null@example.com>\r\n"', parse_format("Contact: <sip:null@example.com>\r\n")),
    # the guide's own, whose end is missing, and TOML's long text
    (
        "contact_hdr = 'Contact: registrar@192.168.1.2:5060;msilo=yes'",
        parse_format("Contact: registrar@192.168.1.2:5060;msilo=yes\r\n"),
    ),
    ("contact_hdr = '''\nm:$fu\nX-A:1\n'''", parse_format("m: $fu\r\nX-A: 1\r\n")),
    (f"offline_message = '*** User $rU is offline!'\n{CONTENT_TYPE}", parse_format("*** User $rU is offline!")),
    (f"offline_message = '<em>5 $$</em>'\n{CONTENT_TYPE}", Format(("<em>5 $</em>",))),
    (r'content_type_hdr = "Content-Type: text/html\r\n"', parse_format("Content-Type: text/html\r\n")),
    ("content_type_hdr = 'c: text/plain;charset=utf-8'", parse_format("c: text/plain;charset=utf-8\r\n")),
    ("content_type_hdr = 'Content-Type: $avp(type)'", parse_format("Content-Type: $avp(type)\r\n")),
    ("reminder = 'sip:registrar@example.org'", "sip:registrar@example.org"),
    ("outbound_proxy = 'sip:opensips.org;transport=tcp'", "sip:opensips.org;transport=tcp"),
    ("outbound_proxy = 'sip:[::1]:5061;transport=UDP;lr'", "sip:[::1]:5061;transport=UDP;lr"),
    ("expire_time = 36000", 36_000),
    ("check_time = 10", 10),
    ("send_time = 60", 60),
    ("clean_period = 3", 3),
    ("use_contact = 0", False),
    ("snd_time_avp = '$avp(snd_time)'", Variable("$avp", "snd_time")),
    ("snd_time_avp = '$(avp(snd_time))'", Variable("$avp", "snd_time")),
    ("snd_time_avp = 'snd_time'", Variable("$avp", "snd_time")),
    ("snd_time_avp = '$avp(s:snd_time)'", Variable("$avp", "snd_time")),
    ("add_date = 0", False),
    ("add_date = true", True),
    ("max_messages = 100", 100),
    (r'extra_hdrs = "X-Extra: $tu\r\nY-Extra: foo\r\n"', parse_format("X-Extra: $tu\r\nY-Extra: foo\r\n")),
    ("extra_hdrs_avp = '$avp(msilo_extra_hdrs)'", Variable("$avp", "msilo_extra_hdrs")),
    ("add_contact = 1", True),
    ("skip_notification_flag = 18", 18),
    ("skip_notification_flag = '18'", 18),
    ("skip_notification_flag = 0", 0),
    ("skip_notification_flag = -1", None),
    ("skip_notification_flag = 'NO_NOTICE'", "NO_NOTICE"),
    ("use_mode = 1", True),
    ("sc_mid = 'mid'", "mid"),
    *[(f"{name} = 'c_{name}'", f"c_{name}") for name in DEFAULTS if name.startswith("sc_")],
    # two may change places
    ("sc_from = 'dst_addr'\nsc_to = 'src_addr'", "dst_addr"),
    ("db_pool = 64", 64),
    ("notice_interval = 0", 0),
    ("notice_interval = 0.5", 0.5),
]


@pytest.mark.parametrize(("text", "expected"), TAKEN, ids=[text for text, _ in TAKEN])
def test_value_that_is_taken(text: str, expected: object) -> None:
    name = text.partition(" ")[0]
    assert getattr(load(text).msilo, name) == expected


NO_URI = "is no SIP URI; accepted: a SIP URI"
NO_NAME = "is no name of a table or column; accepted: a name of letters, digits and _, 1 to 56, no digit first"
LINE = "is no header line such as 'Name: value'; accepted: whole header lines"
REFUSED: list[tuple[str, str]] = [
    ("db_table = ''", "'' is empty"),
    ("db_table = 'my silo'", f"'my silo' {NO_NAME}"),
    ("db_table = '1silo'", NO_NAME),
    ("db_table = 'silo; DROP TABLE silo'", NO_NAME),
    ("db_table = 'sílo'", NO_NAME),
    (f"db_table = '{'x' * 57}'", NO_NAME),
    ("db_table = 5", "5 is not a text"),
    ("db_table = 'sipsilo_claim'", "is a name that our own tables have; accepted: another one"),
    ("sc_body = 'a-b'", NO_NAME),
    ("sc_mid = 'body'", "sc_body and sc_mid are both body; accepted: a column of its own for each"),
    ("sc_from = 'DST_addr'", "sc_to and sc_from are both dst_addr"),
    ("sc_status = 'mid'", "sc_status and sc_mid are both mid"),
    ("sc_status = 'last_status'", "last_status is a column of our own; accepted: another name"),
    ("from_address = 'registrar@example.org'", f"'registrar@example.org' {NO_URI}"),
    ("from_address = 'sip:$rU@'", NO_URI),
    ("from_address = 'mailto:$rU@example.org'", NO_URI),
    ("from_address = 'sip:$rX@example.org'", "unknown pseudo-variable $rX; did you mean"),
    ("from_address = 'sip:a@example.org$'", "a dollar that begins no variable; write $$ for a dollar; accepted:"),
    ("contact_hdr = '<sip:null@example.com>'", LINE),
    ("contact_hdr = 'Contact'", LINE),
    (r'contact_hdr = "Contact: a\r\n\r\nBody"', LINE),
    ("contact_hdr = '$rU: a'", LINE),
    ("contact_hdr = 'Contact: $xx'", "unknown pseudo-variable $xx"),
    ("contact_hdr = 'From: <sip:a@b>'", "'From' is a header that the silo writes itself"),
    ("contact_hdr = 'l: 5'", "'l' is a header that the silo writes itself"),
    ("extra_hdrs = 'X-Own'", LINE),
    ("extra_hdrs = 'Content-Type: text/plain'", "'Content-Type' is a header that the silo writes itself"),
    ("extra_hdrs = 'X-Own: $avp'", "$avp needs a name in parentheses"),
    ("offline_message = 'offline'", "set without content_type_hdr; accepted: with msilo.content_type_hdr"),
    (f"{CONTENT_TYPE}\noffline_message = '$nothing'", "unknown pseudo-variable $nothing"),
    (f"{CONTENT_TYPE}\noffline_message = ''", "'' is empty"),
    ("content_type_hdr = 'text/plain'", "is no header line such as 'Name: value'; accepted: a whole line"),
    ("content_type_hdr = 'X-Type: text/plain'", "is no Content-Type line"),
    (r'content_type_hdr = "Content-Type: text/plain\r\nX-A: 1\r\n"', "is no Content-Type line"),
    ("content_type_hdr = 'Content-Type: text'", "names no media type"),
    ("reminder = 'registrar'", f"'registrar' {NO_URI}"),
    ("reminder = ''", "'' is empty"),
    ("reminder = 'sips:registrar@example.org'", NO_URI),
    ("outbound_proxy = 'proxy.example.org'", NO_URI),
    ("outbound_proxy = 'sips:proxy.example.org'", NO_URI),
    ("outbound_proxy = 'sip:proxy.example.org;transport=tls'", "asks for the transport 'tls'; accepted: a SIP URI"),
    ("expire_time = 0", "0 is out of range; accepted: whole seconds from 1 to 315360000"),
    ("check_time = 0", "0 is out of range; accepted: whole seconds from 1 to 86400"),
    ("send_time = -1", "-1 is out of range; accepted: whole seconds from 0 to 86400"),
    ("send_time = 0.5", "0.5 is not a whole number"),
    ("clean_period = 0", "0 is out of range; accepted: a number of check_time cycles from 1 to 100000"),
    ("use_contact = 2", "2 is neither 0 nor 1; accepted: 0 or 1"),
    ("add_date = 'no'", "'no' is neither 0 nor 1"),
    ("add_contact = -1", "-1 is neither 0 nor 1"),
    ("use_mode = 3", "3 is neither 0 nor 1"),
    ("max_messages = -1", "-1 is out of range; accepted: a number of messages from 0 to 1000000000"),
    ("snd_time_avp = '$var(x)'", "'$var(x)' is no AVP; accepted: an AVP, such as \"$avp(name)\""),
    ("snd_time_avp = '$avp'", "$avp needs a name in parentheses"),
    ("snd_time_avp = 'a b'", "'a b' is no pseudo-variable"),
    ("extra_hdrs_avp = 5", "5 is not a text"),
    ("skip_notification_flag = 32", "32 is out of range; accepted: a flag: its number from 0 to 31, or its name"),
    ("skip_notification_flag = -2", "-2 is out of range"),
    ("skip_notification_flag = true", "True is no flag"),
    ("skip_notification_flag = 'no notice'", "'no notice' is no name of a flag"),
    ("db_pool = 0", "0 is out of range; accepted: a number of connections from 1 to 64"),
    ("db_pool = 65", "65 is out of range"),
    ("notice_interval = -1", "-1 is out of range; accepted: seconds from 0 to 86400"),
]


@pytest.mark.parametrize(("text", "told"), REFUSED, ids=[text[:60] for text, _ in REFUSED])
def test_value_that_is_refused(text: str, told: str) -> None:
    *others, last = text.split("\n")
    name = last.partition(" ")[0]
    line = mistake(text)
    assert line.startswith(f"sipsilo.toml:{len(others) + 2}: msilo.{name}: ")
    assert told in line
    assert "; accepted: " in line


def test_every_parameter_is_shown_taken_and_refused() -> None:
    """Limits of ours that existed before are in test_load.py."""
    names = DEFAULTS.keys() - {"max_udp_request", "parallel_deliveries", "max_pending_stores"}
    assert {text.partition(" ")[0] for text, _ in TAKEN} == names
    columns = {name for name in names if name.startswith("sc_")}
    assert names - columns <= {text.split("\n")[-1].partition(" ")[0] for text, _ in REFUSED}


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name.startswith("sc_")])
def test_every_column_must_have_a_name_of_its_own(name: str) -> None:
    assert NO_NAME in mistake(f"{name} = 'a b'")
    others = [other for other in Msilo().columns if other != name]
    for other in others:
        assert "accepted: a column of its own for each" in mistake(f"{name} = '{Msilo().columns[other]}'")


def test_columns_of_our_own_are_those_of_the_table() -> None:
    names = SiloNames()
    theirs = {getattr(names, name) for name in names.__dataclass_fields__} - {names.table}
    assert {*Msilo().columns.values()} == theirs
    assert {column.name for column in Tables().silo.columns} - theirs == OWN_COLUMNS


@pytest.mark.parametrize(
    ("text", "zone"), [("", "None"), ("timezone = 'Europe/Berlin'", "Europe/Berlin"), ("timezone = 'UTC'", "UTC")]
)
def test_time_zone(text: str, zone: str) -> None:
    assert str(load(text, "server").server.zone) == zone


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "/etc/passwd", "Europe", "CET\\u0000"])
def test_time_zone_that_there_is_not(zone: str) -> None:
    line = mistake(f'timezone = "{zone}"', "server")
    assert line.startswith("sipsilo.toml:2: server.timezone: ")
    assert 'accepted: a name of the IANA time zone database, such as "Europe/Berlin"' in line


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("SIPSILO_MSILO__SKIP_NOTIFICATION_FLAG", "18", "skip_notification_flag", 18),
        ("SIPSILO_MSILO__CONTACT_HDR", "Contact: <sip:a@b>", "contact_hdr", parse_format("Contact: <sip:a@b>\r\n")),
        ("SIPSILO_MSILO__USE_MODE", "1", "use_mode", True),
        ("SIPSILO_MSILO__NOTICE_INTERVAL", "1.5", "notice_interval", 1.5),
    ],
)
def test_the_environment_says_it_as_text(variable: str, value: str, name: str, expected: Any) -> None:
    assert getattr(load_settings(None, {variable: value}, {}).msilo, name) == expected


def test_defaults_of_the_classes_are_those_of_an_empty_file() -> None:
    assert (Server(), Msilo(db_url=load("").msilo.db_url)) == (load("").server, load("").msilo)
