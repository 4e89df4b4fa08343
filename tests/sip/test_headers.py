import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import (
    CSeq,
    MediaType,
    NameAddr,
    Via,
    find_param,
    format_params,
    parse_cseq,
    parse_date,
    parse_media_type,
    parse_name_addr,
    parse_number,
    parse_params,
    parse_q,
    parse_via,
    split_list,
    unquote,
)
from sipsilo.sip.limits import MAX_LIST
from sipsilo.sip.uri import Params
from tests.sip.growth import grows_linearly
from tests.sip.strategies import (
    hosts,
    media_types,
    name_addrs,
    quoted_strings,
    spaces,
    tokens,
    uri_texts,
    vias,
)


def refused(parse: Callable[[str], object], text: str) -> bool:
    """Whether `parse` raises SipError(400)."""
    with pytest.raises(SipError) as caught:
        parse(text)
    return caught.value.status == 400


# -- lists


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a , b\t,  c", ["a", "b", "c"]),
        # RFC 3261 §7.3.1 and the lists of older grammars: empty elements mean nothing
        (",", []),
        (" , ,", []),
        ("a,,b,", ["a", "b"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ('"a\\",b",c', ['"a\\",b"', "c"]),
        ('"a\\\\",b', ['"a\\\\"', "b"]),
        ("<sip:a,b@c>,<sip:d@e>", ["<sip:a,b@c>", "<sip:d@e>"]),
        ('"x, <" <sip:a,b@c>;d="e,f";g, h', ['"x, <" <sip:a,b@c>;d="e,f";g', "h"]),
        ("\u00a0a\u00a0,b", ["\u00a0a\u00a0", "b"]),
    ],
)
def test_split_list(value: str, parts: list[str]) -> None:
    assert split_list(value) == parts


@pytest.mark.parametrize("value", ['a,"b', 'a,"b\\"', "a,<b", "a,b>", 'a,<b">', "a,<<b>>", ',"'])
def test_unbalanced_list(value: str) -> None:
    assert refused(split_list, value)


@given(st.lists(name_addrs, max_size=2), spaces)
def test_values_of_a_list_are_found_again(values: list[tuple[str, NameAddr]], space: str) -> None:
    # without brackets a comma ends the address (§20.10)
    texts = [text.strip(" \t") if "<" in text else f"<{value.uri_text}>" for text, value in values]
    assert split_list(f"{space},{space}".join(texts)) == texts


def test_longest_list() -> None:
    assert len(split_list(",".join("a" * MAX_LIST))) == MAX_LIST
    assert refused(split_list, ",".join("a" * (MAX_LIST + 1)))


# -- parameters


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("", ()),
        (";lr", (("lr", None),)),
        (";Tag=aB;X", (("tag", "aB"), ("x", None))),
        (" ; a\t=  b ;c ", (("a", "b"), ("c", None))),
        (';a="b;c\\"d";e', (("a", '"b;c\\"d"'), ("e", None))),
        (';a=""', (("a", '""'),)),
        (";a=[2001:db8::1];b=192.0.2.1:5060", (("a", "[2001:db8::1]"), ("b", "192.0.2.1:5060"))),
        (";a=1;a=2", (("a", "1"), ("a", "2"))),
        (';a="\u5927\udcff"', (("a", '"\u5927\udcff"'),)),
    ],
)
def test_params(text: str, params: Params) -> None:
    assert parse_params(text) == params
    assert parse_params(format_params(params)) == params


@pytest.mark.parametrize(
    "text", ["a", " ", ";", ";;", ";a;", ";=b", ";a=", ';a="', ';a="b"c', ";a b", ";a=b c", ";a=<b>"]
)
def test_bad_params(text: str) -> None:
    assert refused(parse_params, text)


@pytest.mark.parametrize(
    ("name", "value"), [("a", "1"), ("b", ""), ("c", 'x"y\\'), ("d", ""), ("A", None), ("e", None)]
)
def test_find_param(name: str, value: str | None) -> None:
    params = (("a", "1"), ("a", "2"), ("b", None), ("c", '"x\\"y\\\\"'), ("d", '""'))
    assert find_param(params, name) == value


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", ""),
        ("a", "a"),
        ('"', '"'),
        ('""', ""),
        ('"a b"', "a b"),
        ('"a\\"b\\\\c\\d"', 'a"b\\cd'),
        # RFC 4475 §3.1.1.2
        ('"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f"', "BEL:\x07 NUL:\0 DEL:\x7f"),
    ],
)
def test_unquote(text: str, content: str) -> None:
    assert unquote(text) == content


@given(st.text())
def test_unquote_is_the_opposite_of_quoting(content: str) -> None:
    quoted = content.replace("\\", "\\\\").replace('"', '\\"')
    assert unquote(f'"{quoted}"') == content


# -- addresses


@given(name_addrs)
def test_address(written: tuple[str, NameAddr]) -> None:
    text, value = written
    assert parse_name_addr(text) == value
    assert parse_name_addr(str(value)) == value
    assert str(value.uri) == value.uri_text
    assert value.tag == find_param(value.params, "tag")


@pytest.mark.parametrize(
    ("text", "display", "uri", "params"),
    [
        # RFC 3261 §20.10, §20.20, §20.34, §20.39
        ('"Mr. Watson" <sip:watson@worcester.bell-telephone.com>;q=0.7; expires=3600', '"Mr. Watson"',
         "sip:watson@worcester.bell-telephone.com", (("q", "0.7"), ("expires", "3600"))),
        ("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "Anonymous", "sip:c8oqz84zk7z@privacy.org",
         (("tag", "hyh8"),)),
        ("sip:+12125551212@server.phone2net.com;tag=887s", "", "sip:+12125551212@server.phone2net.com",
         (("tag", "887s"),)),
        ("<sip:bigbox3.site3.atlanta.com;lr>", "", "sip:bigbox3.site3.atlanta.com;lr", ()),
        ("<sip:a@b?Route=%3Csip:c%3E;x=1>", "", "sip:a@b?Route=%3Csip:c%3E;x=1", ()),
        ("Lee M. Foote <sips:lee.foote@example.com>", "Lee M. Foote", "sips:lee.foote@example.com", ()),
        ("<tel:+1-201-555-0123>;tag=1", "", "tel:+1-201-555-0123", (("tag", "1"),)),
        ("isbn:2983792873", "", "isbn:2983792873", ()),
        # a semicolon inside the brackets is the URI's, outside the header's
        ("<sip:a@b;x=1>;x=2", "", "sip:a@b;x=1", (("x", "2"),)),
        ("sip:a@b;x=1", "", "sip:a@b", (("x", "1"),)),
        ('sip:a@b;x="<";y="<sip:no@no>"', "", "sip:a@b", (("x", '"<"'), ("y", '"<sip:no@no>"'))),
        ('"<sip:no@no>;tag=no, \\"" <sip:a@b>', '"<sip:no@no>;tag=no, \\""', "sip:a@b", ()),
        ('""<sip:a@b>', '""', "sip:a@b", ()),
        # what people write without quotes
        ("Jürgen O'Neill @home<sip:a@b>", "Jürgen O'Neill @home", "sip:a@b", ()),
        # RFC 4475 §3.1.2.14
        ("< sip:a@b >", "", "sip:a@b", ()),
    ],
)  # fmt: skip
def test_taken_apart(text: str, display: str, uri: str, params: Params) -> None:
    value = parse_name_addr(text)
    assert value == NameAddr(display, uri, params)
    assert parse_name_addr(str(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "<>",
        "<sip:>",
        "alice",
        "Alice sip:a@b",
        "<sip:a@b",
        "sip:a@b>",
        "<<sip:a@b>>",
        "<sip:a@b><sip:c@d>",
        "<sip:a@b> <sip:c@d>",
        "<sip:a@b>,<sip:c@d>",
        "<sip:a@b>x",
        "<sip:a@b>;",
        "<sip:a@b>;;tag=1",
        "<sip:a@b>;tag=",
        "<sip:a@b>;tag=a b",
        '"Alice <sip:a@b>',
        '"Alice\\" <sip:a@b>',
        '"Alice" Smith <sip:a@b>',
        'Alice "Smith" <sip:a@b>',
        '"Alice"',
        '"Alice" sip:a@b',
        "a;b <sip:a@b>",
        # RFC 4475 §3.1.2.15
        "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
        "<sip:a b@c>",
        "<sip:a@b\t;x>",
    ],
)
def test_bad_address(text: str) -> None:
    assert refused(parse_name_addr, text)


@pytest.mark.parametrize(
    ("text", "tag"), [("<sip:a@b>;tag=x", "x"), ("sip:a@b;TAG=x;y", "x"), ("<sip:a@b;tag=x>", None)]
)
def test_tag(text: str, tag: str | None) -> None:
    assert parse_name_addr(text).tag == tag


# -- Via


@given(vias)
def test_via(written: tuple[str, Via]) -> None:
    text, value = written
    assert parse_via(text) == value
    assert parse_via(str(value)) == value
    assert value.branch == find_param(value.params, "branch")


@pytest.mark.parametrize(
    ("text", "value", "sent_by"),
    [
        # RFC 3261 §20.42
        ("SIP/2.0/UDP erlang.bell-telephone.com:5060;branch=z9hG4bK87asdks7",
         Via("UDP", "erlang.bell-telephone.com", 5060, (("branch", "z9hG4bK87asdks7"),)),
         "erlang.bell-telephone.com:5060"),
        ("SIP/2.0/UDP 192.0.2.1:5060 ;received=192.0.2.207;branch=z9hG4bK77asjd",
         Via("UDP", "192.0.2.1", 5060, (("received", "192.0.2.207"), ("branch", "z9hG4bK77asjd"))),
         "192.0.2.1:5060"),
        ("SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1",
         Via("UDP", "first.example.com", 4000,
             (("ttl", "16"), ("maddr", "224.2.0.1"), ("branch", "z9hG4bKa7c6a8dlze.1"))),
         "first.example.com:4000"),
        # RFC 3581 §3
        ("SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKkjshdyff",
         Via("UDP", "10.1.1.1", 4540, (("rport", None), ("branch", "z9hG4bKkjshdyff"))), "10.1.1.1:4540"),
        # one spelling of the host, for matching
        ("SIP/2.0/TCP Host.Example.ORG", Via("TCP", "host.example.org", None), "host.example.org"),
        ("sip/2.0/tls [2001:DB8:0::1]:5061;RECEIVED=2001:db8::2",
         Via("TLS", "[2001:db8::1]", 5061, (("received", "2001:db8::2"),)), "[2001:db8::1]:5061"),
    ],
)  # fmt: skip
def test_via_taken_apart(text: str, value: Via, sent_by: str) -> None:
    via = parse_via(text)
    assert via == value
    assert via.sent_by == sent_by
    assert parse_via(str(via)) == via


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.1",
        "SIP/2.0 192.0.2.1",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/UDP;branch=1",
        "SIP/7.0/UDP 192.0.2.1",
        "HTTP/2.0/UDP 192.0.2.1",
        "\u017fIP/2.0/UDP 192.0.2.1",
        "SIP/2.0/U P 192.0.2.1",
        "SIP/2.0/UDP ho\u017ft",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP 192.0.2.1:",
        "SIP/2.0/UDP 192.0.2.1:x",
        "SIP/2.0/UDP 192.0.2.1:65536",
        "SIP/2.0/UDP 192.0.2.1:-5060",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP [2001:db8::1",
        "SIP/2.0/UDP [1:2:3]",
        "SIP/2.0/UDP a@b",
        'SIP/2.0/UDP 192.0.2.1;x="y',
        # RFC 4475 §3.1.2.1
        "SIP/2.0/UDP 192.0.2.1;;",
        "SIP/2.0/UDP 192.0.2.1;branch=1;",
        "SIP/2.0/UDP 192.0.2.1; ;branch=1",
        "SIP/2.0/UDP 192.0.2.1;=1",
    ],
)
def test_bad_via(text: str) -> None:
    assert refused(parse_via, text)


@pytest.mark.parametrize(
    ("text", "port", "stamped"),
    [
        ("SIP/2.0/UDP h;branch=1", None, "SIP/2.0/UDP h;branch=1;received=192.0.2.9"),
        ("SIP/2.0/UDP h;rport;branch=1", 4711, "SIP/2.0/UDP h;branch=1;received=192.0.2.9;rport=4711"),
        (
            "SIP/2.0/TCP h:5061;Received=10.0.0.1;x=y;RPORT=1",
            4711,
            "SIP/2.0/TCP h:5061;x=y;received=192.0.2.9;rport=4711",
        ),
    ],
)
def test_via_says_where_it_came_from(text: str, port: int | None, stamped: str) -> None:
    via = parse_via(text)
    assert str(via.received_from("192.0.2.9", port)) == stamped
    assert via == parse_via(text)


@given(
    st.sampled_from(["UDP", "TCP"]),
    hosts,
    st.none() | st.integers(1, 65535) | st.sampled_from([9999, 10000, 59999, 60000, 65535]),
    tokens,
    st.sampled_from(["", ";rport"]),
)
def test_usual_via_means_the_same_with_white_space(
    transport: str, host: str, port: int | None, branch: str, rport: str
) -> None:
    sent_by = host if port is None else f"{host}:{port}"
    usual = f"SIP/2.0/{transport} {sent_by};branch={branch}{rport}"
    assert parse_via(usual) == parse_via(f" {usual.replace(';', ' ; ')} ")


@given(uri_texts, st.sampled_from(["1", "a.B-c%", "*_+`'~!"]))
def test_usual_address_means_the_same_with_white_space(uri: str, tag: str) -> None:
    assert parse_name_addr(f"<{uri}>;tag={tag}") == parse_name_addr(f" <{uri}> ; tag = {tag} ")
    assert parse_name_addr(f"<{uri}>") == parse_name_addr(f" <{uri}> ")


# -- CSeq, Content-Type


@given(st.integers(0, 2**31 - 1), st.sampled_from([" ", "\t", "  \t "]), tokens)
def test_cseq(number: int, space: str, method: str) -> None:
    value = parse_cseq(f"{number}{space}{method}")
    assert value == CSeq(number, method)
    assert parse_cseq(str(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "1", "MESSAGE", "MESSAGE 1", "1MESSAGE", "1 MESS AGE", "1 M\xc4", "-1 MESSAGE", "+1 MESSAGE", "1.0 MESSAGE",
     "\u0663 MESSAGE", "0x1 MESSAGE", "2147483648 MESSAGE", "36893488147419103232 REGISTER"],
)  # fmt: skip
def test_bad_cseq(text: str) -> None:
    assert refused(parse_cseq, text)


def test_cseq_with_leading_zeros() -> None:
    assert parse_cseq("0009 INVITE") == CSeq(9, "INVITE")


@given(media_types)
def test_media_type(written: tuple[str, MediaType]) -> None:
    text, value = written
    assert parse_media_type(text) == value
    assert value.essence == f"{value.type}/{value.subtype}"


def test_media_type_with_parameters() -> None:
    value = parse_media_type('Text/Plain ; Charset="utf-8" ; x')
    assert (value.essence, value.param("charset"), value.param("x")) == ("text/plain", "utf-8", "")
    assert value.param("y") is None


@pytest.mark.parametrize(
    "text", ["", "text", "text/", "/plain", "text/plain/x", "text plain", "text/plain x", "text/plain;", "*"]
)
def test_bad_media_type(text: str) -> None:
    assert refused(parse_media_type, text)


# -- numbers, dates


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("0068", 68),
        ("3600", 3600),
        ("4294967295", 2**32 - 1),
        ("4294967296", 2**32 - 1),
        ("9" * 100, 2**32 - 1),
        ("9" * 30_000, 2**32 - 1),
        ("00000000060", 60),
    ],
)
def test_number(text: str, number: int) -> None:
    assert parse_number(text, "Expires") == number


def test_number_with_a_limit() -> None:
    assert parse_number("256", "Max-Forwards", 255) == 255
    assert parse_number("255", "Max-Forwards", 255) == 255


@pytest.mark.parametrize("text", ["", " ", "-1", "+1", "1.5", "1 2", "x", "0x10", "1_000", "\u0663", "\xb2"])
def test_bad_number(text: str) -> None:
    assert refused(lambda value: parse_number(value, "Expires"), text)


@pytest.mark.parametrize(
    ("text", "q"), [("0", 0), ("1", 1), ("0.", 0), ("0.5", 0.5), ("0.123", 0.123), ("1.", 1), ("1.000", 1)]
)
def test_q(text: str, q: float) -> None:
    assert parse_q(text) == q


@pytest.mark.parametrize("text", ["", ".5", "1.1", "1.001", "2", "-0.5", "0.1234", "0,5", "nan", "1e0", "\u0660"])
def test_bad_q(text: str) -> None:
    assert refused(parse_q, text)


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("far_from_greenwich")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # RFC 3261 §20.17
        ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
        ("Thu, 21 Feb 2002 13:02:03 GMT", 1_014_296_523),
        # RFC 4475 §3.1.2.12: it could attempt to interpret this date and adjust it to GMT
        ("Fri, 01 Jan 2010 16:00:00 EST", 1_262_379_600),
        # §20.17: SIP-date is GMT, so where this machine stands does not matter
        ("Sat, 13 Nov 2010 23:29:00", 1_289_690_940),
        ("Sat, 13 Nov 2010 23:29:00 -0000", 1_289_690_940),
    ],
)
def test_date(text: str, seconds: int) -> None:
    assert parse_date(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "Sat, 32 Nov 2010 23:29:00 GMT", "Sat, 13 Nov 2010 25:29:00 GMT", "Sat, 13 Nov 99999 1:1:1 GMT",
     "Sat, 13 Nov", "1289690940", ",", "Sat, 13 Nov 2010 23:29:00 +9999999999999"],
)  # fmt: skip
def test_bad_date(text: str) -> None:
    assert parse_date(text) is None


@given(st.integers(0, 2**33))
def test_any_date(seconds: int) -> None:
    assert parse_date(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))) == seconds


# -- hostile input

PARSERS: dict[str, Callable[[str], object]] = {
    "list": split_list,
    "params": parse_params,
    "address": parse_name_addr,
    "via": parse_via,
    "cseq": parse_cseq,
    "media-type": parse_media_type,
    "number": lambda text: parse_number(text, "Expires"),
    "q": parse_q,
    "date": parse_date,
    "unquote": unquote,
}
BEGINNINGS = {
    "list": ["", "a,", '"', "<"],
    "params": [";a", ";a=", ';a="', ";a "],
    "address": ["", '"', "<sip:a@b>", "<sip:a@b>;a", "sip:a@b;a=", "a", "<", '"" '],
    "via": ["", "SIP", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/UDP a", "SIP/2.0/UDP a;b", 'SIP/2.0/UDP a;b="'],
    "cseq": ["", "1", "1 ", "1 M"],
    "media-type": ["", "text", "text/", "text/plain", "text/plain;a", 'text/plain;a="'],
    "number": [""],
    "q": ["0."],
    "date": ["", "Sat, 13 Nov 2010 23:29:00"],
    "unquote": ['"'],
}


def attempt(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except SipError:
        return None


@pytest.mark.parametrize("parser", PARSERS)
@given(text=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('<>;,="\\ /:@[]%1\udc80\udcff')))
def test_any_text_is_a_value_or_a_sip_error(parser: str, text: str) -> None:
    for beginning in ("", *BEGINNINGS[parser]):
        attempt(PARSERS[parser], beginning + text)


PIECES = [*' \t";,<>\\=:/a1', '\\"', '"a', "<a", ' "', " ;", "; ", ";a", ' , "', ";a=b"]


@pytest.mark.parametrize(
    ("parser", "beginning"), [(parser, text) for parser, texts in BEGINNINGS.items() for text in texts]
)
def test_time_grows_linearly(parser: str, beginning: str) -> None:
    def repeated(piece: str, end: str) -> Callable[[int], str]:
        return lambda size: beginning + piece * size + end

    parse = partial(attempt, PARSERS[parser])
    slow = [piece for piece in PIECES for end in ("", "\n") if not grows_linearly(parse, repeated(piece, end), 500)]
    assert slow == []


@given(quoted_strings)
def test_a_quoted_string_is_one_value(text: str) -> None:
    assert split_list(f"{text},{text}") == [text, text]
    assert parse_params(f";a={text};b") == (("a", text), ("b", None))
