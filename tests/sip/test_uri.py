import re
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.sip.errors import SipError
from sipsilo.sip.limits import MAX_URI
from sipsilo.sip.uri import Params, Uri, equivalent, parse_uri
from tests.sip.growth import grows_linearly
from tests.sip.strategies import UNRESERVED, UriParts, uris


def same(one: str, other: str) -> bool:
    """Whether two URIs are equivalent, asked both ways."""
    results = {equivalent(parse_uri(one), parse_uri(other)), equivalent(parse_uri(other), parse_uri(one))}
    assert len(results) == 1, "equivalence is symmetric"
    return results.pop()


def escaped(text: str) -> str:
    """Each character that may be written plainly is written as %HH (§19.1.2); escapes stay."""
    return re.sub(
        r"%..|(.)",
        lambda match: f"%{ord(match[1]):02x}" if match[1] and match[1] in UNRESERVED else match[0],
        text,
    )


# -- taking apart


@given(uris)
def test_parts_are_found_again(parts: UriParts) -> None:
    uri = parse_uri(parts.text)
    assert str(uri) == uri.text == parts.text
    assert uri.scheme == parts.scheme.lower()
    assert (uri.user, uri.password) == (parts.user, parts.password)
    assert (uri.host, uri.port) == (parts.host.lower(), parts.port)
    assert uri.params == tuple((name.lower(), value) for name, value in parts.params)
    assert uri.headers == (parts.headers_text if parts.headers else None)


@pytest.mark.parametrize(
    ("text", "user", "password", "host", "port", "params", "headers"),
    [
        # the examples of RFC 3261 §19.1.3
        ("sip:alice@atlanta.com", "alice", None, "atlanta.com", None, (), None),
        (
            "sip:alice:secretword@atlanta.com;transport=tcp",
            "alice",
            "secretword",
            "atlanta.com",
            None,
            (("transport", "tcp"),),
            None,
        ),
        (
            "sips:alice@atlanta.com?subject=project%20x&priority=urgent",
            "alice",
            None,
            "atlanta.com",
            None,
            (),
            "subject=project%20x&priority=urgent",
        ),
        (
            "sip:+1-212-555-1212:1234@gateway.com;user=phone",
            "+1-212-555-1212",
            "1234",
            "gateway.com",
            None,
            (("user", "phone"),),
            None,
        ),
        ("sips:1212@gateway.com", "1212", None, "gateway.com", None, (), None),
        ("sip:alice@192.0.2.4", "alice", None, "192.0.2.4", None, (), None),
        (
            "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
            None,
            None,
            "atlanta.com",
            None,
            (("method", "REGISTER"),),
            "to=alice%40atlanta.com",
        ),
        ("sip:alice;day=tuesday@atlanta.com", "alice;day=tuesday", None, "atlanta.com", None, (), None),
        # IPv6, in its shortest form
        ("sip:bob@[2001:DB8:0::1]:5070", "bob", None, "[2001:db8::1]", 5070, (), None),
        ("sip:[::1];lr", None, None, "[::1]", None, (("lr", None),), None),
        # what the grammar does not know and phones send
        ("sip:bob@my_host", "bob", None, "my_host", None, (), None),
        ("sip:bob:@h", "bob", "", "h", None, (), None),
        ("sip:bob@h?", "bob", None, "h", None, (), ""),
        ("sip:bob@h;x=a=b", "bob", None, "h", None, (("x", "a=b"),), None),
    ],
)
def test_taken_apart(
    text: str,
    user: str | None,
    password: str | None,
    host: str,
    port: int | None,
    params: Params,
    headers: str | None,
) -> None:
    uri = parse_uri(text)
    assert str(uri) == text
    assert (uri.user, uri.password, uri.host, uri.port) == (user, password, host, port)
    assert (uri.params, uri.headers) == (params, headers)


@pytest.mark.parametrize(
    ("text", "user", "params"),
    [
        # RFC 3966 §6
        ("tel:+1-201-555-0123", "+1-201-555-0123", ()),
        ("tel:7042;phone-context=example.com", "7042", (("phone-context", "example.com"),)),
        ("TEL:863-1234;Phone-Context=+1-914-555", "863-1234", (("phone-context", "+1-914-555"),)),
        ("tel:(0)*#aF", "(0)*#aF", ()),
    ],
)
def test_tel(text: str, user: str, params: Params) -> None:
    uri = parse_uri(text)
    assert (uri.scheme, uri.user, uri.host, uri.params, uri.aor) == ("tel", user, "", params, None)
    assert str(uri) == text


@pytest.mark.parametrize("text", ["http://www.example.com", "isbn:2983792873", "soap.beep://192.0.2.103:3002"])
def test_other_schemes_are_opaque(text: str) -> None:
    uri = parse_uri(text)
    assert (uri.scheme, uri.user, uri.host, uri.aor) == (text.partition(":")[0], None, "", None)
    assert str(uri) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sip",
        "sip:",
        "alice@example.org",
        "1sip:alice@example.org",
        "<sip:alice@example.org>",
        " sip:alice@example.org",
        "sip:alice@example.org ",
        "sip:al ice@example.org",
        "sip:alice@exam ple.org",
        "sip:alice@",
        "sip:@example.org",
        "sip::secret@example.org",
        "sip:alice@bob@example.org",
        "sip:alice@example.org:",
        "sip:alice@example.org:0",
        "sip:alice@example.org:65536",
        "sip:alice@example.org:5060x",
        "sip:alice@example.org:-1",
        "sip:alice@example.org:\u0663",
        "sip:alice@ex\xe4mple.org",
        "sip:alice@example.org;",
        "sip:alice@example.org;;lr",
        'sip:alice@example.org;x="y"',
        "sip:alice@example.org/path",
        "sip:alice@[::1",
        "sip:alice@::1",
        "sip:alice@[1:2:3]",
        "sip:alice@[::12345]",
        "sip:alice@[192.0.2.1]",
        "sip:alice@[]",
        # RFC 3261 §25.1: % stands before two hexadecimal digits only
        "sip:al%ice@example.org",
        "sip:alice%4@example.org",
        "sip:alice@example.org;x=%zz",
        "sip:alice@example.org?x=%",
        "tel:",
        "tel:alice",
        "tel:+1 201 555",
        "http:",
        "http://a b",
        'http://"',
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(SipError) as caught:
        parse_uri(text)
    assert (caught.value.status, caught.value.request) == (400, None)


def test_longest() -> None:
    longest = f"sip:{'a' * (MAX_URI - 6)}@b"
    assert len(longest) == MAX_URI
    assert parse_uri(longest).user == "a" * (MAX_URI - 6)
    with pytest.raises(SipError):
        parse_uri(f"{longest}b")


@pytest.mark.parametrize(
    ("name", "value"), [("transport", "TCP"), ("lr", ""), ("empty", ""), ("absent", None), ("twice", "1")]
)
def test_param(name: str, value: str | None) -> None:
    uri = parse_uri("sip:bob@example.org;Transport=TCP;LR;empty=;twice=1;twice=2")
    assert uri.param(name) == value


# -- comparison


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # the examples of RFC 3261 §19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        # its rules
        ("SIP:bob@biloxi.com", "sip:bob@biloxi.com"),
        ("sip:bob@biloxi.com;x=%41", "sip:bob@biloxi.com;X=a"),
        ("sip:bob@biloxi.com;%6C%72", "sip:bob@biloxi.com;lr=;y"),
        ("sip:bob@biloxi.com;%55ser=%50hone", "sip:bob@biloxi.com;user=phone"),
        ("sip:b%2fb@biloxi.com", "sip:b%2Fb@biloxi.com"),
        ("sip:bob@biloxi.com?Subject=x", "sip:bob@biloxi.com?subject=%78"),
        # RFC 5954 §4: addresses are compared as addresses
        ("sip:bob@[2001:db8::9:1]", "sip:bob@[2001:db8::9:01]"),
        ("sip:bob@[2001:DB8::9:255]", "sip:bob@[2001:db8:0:0:0:0:9:255]"),
        ("sip:bob@[::ffff:192.0.2.128]", "sip:bob@[::FFFF:C000:280]"),
        # RFC 3966 §4
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("tel:+1(201)555.0123", "TEL:+12015550123"),
        ("tel:7042;ext=5;phone-context=a", "tel:7042;Phone-Context=A;ext=5"),
        ("tel:7a", "tel:7A"),
        # others letter by letter
        ("http://a/b", "HTTP://a/b"),
    ],
)
def test_equivalent(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # the examples of RFC 3261 §19.1.4
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        # its rules
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob@biloxi.com", "im:bob@biloxi.com"),
        ("sip:bob@biloxi.com", "sip:biloxi.com"),
        ("sip:bob@biloxi.com", "sip:bob:@biloxi.com"),
        ("sip:bob:a@biloxi.com", "sip:bob:A@biloxi.com"),
        ("sip:bob@biloxi.com:5061", "sip:bob@biloxi.com:5062"),
        ("sip:bob@biloxi.com;user=ip", "sip:bob@biloxi.com"),
        ("sip:bob@biloxi.com;ttl=1", "sip:bob@biloxi.com"),
        ("sip:bob@biloxi.com;method=INVITE", "sip:bob@biloxi.com"),
        ("sip:bob@biloxi.com;maddr=192.0.2.1", "sip:bob@biloxi.com"),
        ("sip:bob@biloxi.com?a=1", "sip:bob@biloxi.com?a=2"),
        ("sip:bob@biloxi.com?a=1", "sip:bob@biloxi.com?a=1&b=2"),
        # reserved characters are not their escapes
        ("sip:b/b@biloxi.com", "sip:b%2Fb@biloxi.com"),
        ("sip:bob@biloxi.com;x=a/b", "sip:bob@biloxi.com;x=a%2fb"),
        ("sip:b%2541@biloxi.com", "sip:b%41@biloxi.com"),
        ("tel:+12015550123", "tel:12015550123"),
        ("tel:7042;phone-context=a", "tel:7042;phone-context=b"),
        ("tel:7042;phone-context=a", "tel:7042"),
        ("tel:+12015550123", "sip:+12015550123@gateway.com;user=phone"),
        ("http://a/b", "http://a/B"),
    ],
)
def test_not_equivalent(one: str, other: str) -> None:
    assert not same(one, other)


@given(uris, st.randoms(use_true_random=False), st.sampled_from([str.upper, str.lower, str.swapcase]))
def test_another_spelling_is_equivalent(parts: UriParts, chance: Random, change_case: Callable[[str], str]) -> None:
    params = [(change_case(name), value if value is None else escaped(value)) for name, value in parts.params]
    headers = list(parts.headers)
    chance.shuffle(params)
    chance.shuffle(headers)
    other = parts._replace(
        scheme=change_case(parts.scheme),
        user=parts.user and escaped(parts.user),
        password=parts.password and escaped(parts.password),
        host=change_case(parts.host),
        params=tuple(params),
        headers=tuple(headers),
    )
    assert same(parts.text, other.text)


@given(uris, st.data())
def test_another_part_is_not_equivalent(parts: UriParts, data: st.DataObject) -> None:
    changes: list[UriParts] = [
        parts._replace(user="x" if parts.user is None else f"{parts.user}x"),
        parts._replace(host="other.example"),
        parts._replace(port=5060 if parts.port is None else None),
        parts._replace(headers=(*parts.headers, ("x", "1"))),
    ]
    if not any(name.lower() == "maddr" for name, _ in parts.params):
        changes.append(parts._replace(params=(*parts.params, ("maddr", "192.0.2.1"))))
    if parts.user is not None:
        changes.append(parts._replace(password="x" if parts.password is None else None))
    assert not same(parts.text, data.draw(st.sampled_from(changes)).text)


# -- addresses of record


@pytest.mark.parametrize(
    ("text", "aor"),
    [
        ("sip:alice@example.org", "sip:alice@example.org"),
        ("sip:alice@EXAMPLE.Org", "sip:alice@example.org"),
        ("SIPS:alice@example.org:5061;transport=tcp;lr?subject=x", "sip:alice@example.org"),
        ("im:alice@example.org", "sip:alice@example.org"),
        ("pres:alice@example.org", "sip:alice@example.org"),
        ("sip:alice:secret@example.org", "sip:alice@example.org"),
        ("sip:%61l%69ce@example.org", "sip:alice@example.org"),
        ("sip:Alice@example.org", "sip:Alice@example.org"),
        ("sip:+1-212;ext=5@example.org", "sip:+1-212;ext=5@example.org"),
        ("sip:a%20b%3ac@example.org", "sip:a%20b%3Ac@example.org"),
        # §10.3 step 5: an AoR is looked for without escapes, also of reserved characters
        ("sip:%2B1212@example.org", "sip:+1212@example.org"),
        ("sip:null-%00-null@example.org", "sip:null-%00-null@example.org"),
        ("sip:j%c3%bcrgen@example.org", "sip:j%C3%BCrgen@example.org"),
        ("sip:jürgen@example.org", "sip:j%C3%BCrgen@example.org"),
        ("sip:a\udcffb@example.org", "sip:a%FFb@example.org"),
        ("sip:alice@[2001:DB8:0::1]:5060", "sip:alice@[2001:db8::1]"),
        ("sip:alice@192.0.2.1", "sip:alice@192.0.2.1"),
        ("sip:example.org", None),
        ("tel:+12015550123", None),
        ("http://alice@example.org", None),
    ],
)
def test_aor(text: str, aor: str | None) -> None:
    assert (parse_uri(text).aor and str(parse_uri(text).aor)) == aor


@given(uris)
def test_aor_is_canonical(parts: UriParts) -> None:
    aor = parse_uri(parts.text).aor
    if parts.user is None:
        assert aor is None
        return
    assert aor is not None
    assert parse_uri(str(aor)).aor == aor
    for other in (
        parts._replace(scheme="sip", password=None, port=None, params=(), headers=()),
        parts._replace(user=escaped(parts.user), host=parts.host.swapcase()),
    ):
        assert parse_uri(other.text).aor == aor
    assert parse_uri(parts._replace(user=f"{parts.user}x").text).aor != aor


# -- hostile input


def attempt(text: str) -> Uri | None:
    try:
        return parse_uri(text)
    except SipError:
        return None


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(':@;?&=%[]<>"\\. \udc80\udcff')))
def test_any_text_is_a_uri_or_a_sip_error(text: str) -> None:
    for scheme in ("", "sip:", "sip:a@", "sip:a@[", "tel:", "im:", "x:"):
        uri = attempt(scheme + text)
        if uri is not None:
            assert str(uri) == scheme + text
            assert equivalent(uri, uri)
            assert uri.aor is None or parse_uri(str(uri.aor)).aor == uri.aor


@pytest.mark.parametrize("before", ["", "sip:", "sip:a", "sip:a@", "sip:a@b", "sip:a@b;x", "sip:a@b?", "tel:1", "x:"])
def test_time_grows_linearly(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    monkeypatch.setattr("sipsilo.sip.uri.MAX_URI", 1_000_000)  # or the length alone would end it

    def repeated(piece: str) -> Callable[[int], str]:
        return lambda size: before + piece * size + "\n"

    pieces = [*' :@;?&=%[]<>"\\.,a1+', ";a", ";a=b", "a:", "a@", "%41", "&a=b"]
    assert [piece for piece in pieces if not grows_linearly(attempt, repeated(piece), 500)] == []
