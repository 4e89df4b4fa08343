"""RFC 3261 §10.3: what a REGISTER makes of the bindings."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.registrar.binding import Binding, Received, RegistrarLimits, apply_register
from sipsilo.sip.errors import SipError
from tests.registrar.samples import LIMITS, NOW, OTHER_FLOW, UDP, apply, binding, register, told

A, B, C = "sip:a@192.0.2.1", "sip:b@192.0.2.2", "sip:c@192.0.2.3"
OLD_A, OLD_B, OLD_C = binding(A), binding(B), binding(C)
YEAR_2106 = 2**32 - 1


def refusal(current: Sequence[Binding], *headers: str, cseq: int = 2) -> SipError:
    """The error that a REGISTER ends in."""
    with pytest.raises(SipError) as caught:
        apply(current, register(*headers, cseq=cseq))
    return caught.value


@pytest.mark.parametrize(
    ("current", "headers", "expected"),
    [
        pytest.param([], [f"Contact: <{A}>"], {A: 3600}, id="first"),
        pytest.param([], [f"Contact: {A}"], {A: 3600}, id="without brackets"),
        pytest.param([], [f"m: <{A}>"], {A: 3600}, id="compact form"),
        pytest.param([], [f'Contact: "Bob, <1>" <{A}>'], {A: 3600}, id="display name"),
        pytest.param([], [f"Contact: <{A}>, <{B}>"], {B: 3600, A: 3600}, id="two in a line"),
        pytest.param([], [f"Contact: <{A}>", f"Contact: <{B}>"], {B: 3600, A: 3600}, id="two lines"),
        pytest.param([OLD_B], [f"Contact: <{A}>"], {A: 3600, B: 1800}, id="another device"),
        pytest.param([OLD_B, OLD_A], [f"Contact: <{A}>"], {A: 3600, B: 1800}, id="refresh makes it the newest"),
        pytest.param([OLD_A, OLD_B], [f"Contact: <{A}>;expires=0"], {B: 1800}, id="removal by parameter"),
        pytest.param([OLD_A, OLD_B], [f"Contact: <{A}>", "Expires: 0"], {B: 1800}, id="removal by header"),
        pytest.param([OLD_B], [f"Contact: <{A}>;expires=0"], {B: 1800}, id="removal of what is not there"),
        pytest.param([OLD_A], [f"Contact: <{A}>;expires=0, <{B}>;expires=100"], {B: 100}, id="one goes, one comes"),
        pytest.param([OLD_B, OLD_A], [], {B: 1800, A: 1800}, id="query"),
        pytest.param([OLD_A], ["Expires: 0"], {A: 1800}, id="query with Expires 0"),
        pytest.param([OLD_A, OLD_B], ["Contact: *", "Expires: 0"], {}, id="all"),
        pytest.param([OLD_A, OLD_B], ["Contact:  * ", "Expires: 0"], {}, id="all, with white space"),
        pytest.param([], ["Contact: *", "Expires: 0"], {}, id="all of none"),
        # §19.1.4: these are the same URI
        pytest.param([OLD_A], ["Contact: <SIP:%61@192.0.2.1>"], {"SIP:%61@192.0.2.1": 3600}, id="same URI"),
        pytest.param([OLD_A], [f"Contact: <{A};ob>"], {f"{A};ob": 3600}, id="same but for a parameter"),
        pytest.param([OLD_A], ["Contact: <sip:A@192.0.2.1>"], {"sip:A@192.0.2.1": 3600, A: 1800}, id="other user"),
        pytest.param([OLD_A], [f"Contact: <{A}:5060>"], {f"{A}:5060": 3600, A: 1800}, id="explicit port"),
        pytest.param([OLD_A], [f"Contact: <{A};maddr=192.0.2.9>"], {f"{A};maddr=192.0.2.9": 3600, A: 1800}, id="maddr"),
        pytest.param(
            [binding(f"{A};transport=tcp")],
            [f"Contact: <{A};transport=udp>"],
            {f"{A};transport=udp": 3600, f"{A};transport=tcp": 1800},
            id="other transport",
        ),
        pytest.param([], ["Contact: <tel:+1234>"], {"tel:+1234": 3600}, id="tel"),
    ],
)
def test_contacts(current: Sequence[Binding], headers: Sequence[str], expected: Mapping[str, int]) -> None:
    change = apply(current, register(*headers, cseq=2))
    assert list(told(change).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("parameter", "header", "seconds"),
    [
        (None, None, 3600),
        ("100", None, 100),
        (None, "100", 100),
        ("100", "200", 100),
        ("100", "0", 100),
        ("60", None, 60),
        ("86400", None, 86_400),
        ("86401", None, 86_400),
        (None, "86401", 86_400),
        (str(YEAR_2106), None, 86_400),
        ("9" * 30, None, 86_400),
        (None, "9" * 30, 86_400),
        # §10.2.1.1: "Malformed values SHOULD be treated as equivalent to 3600."
        ("soon", None, 3600),
        ("-1", None, 3600),
        ("1.5", None, 3600),
        ("", None, 3600),
        ("\u0661\u0660\u0660", None, 3600),
        (None, "soon", 3600),
        (None, "-1", 3600),
        (None, "", 3600),
        ("soon", "100", 3600),
        ('"100"', None, 100),
    ],
)
def test_expiry(parameter: str | None, header: str | None, seconds: int) -> None:
    contact = f"Contact: <{A}>" + ("" if parameter is None else f";expires={parameter}".removesuffix("="))
    headers = [contact] if header is None else [contact, f"Expires: {header}"]
    assert told(apply([], register(*headers))) == {A: seconds}


@pytest.mark.parametrize("seconds", [1, 59])
@pytest.mark.parametrize("form", ["Contact: <{}>;expires={}", "Expires: {1}\r\nContact: <{0}>"])
def test_interval_that_is_too_brief(seconds: int, form: str) -> None:
    error = refusal([OLD_A], form.format(A, seconds))
    assert error.status == 423
    assert error.headers == (("Min-Expires", "60"),)


def test_interval_of_an_hour_is_never_too_brief() -> None:
    """§10.3 step 7: 423 "only if the expiration interval is greater than zero AND smaller than one hour"."""
    limits = RegistrarLimits(default_expires=7200, min_expires=7200)
    change = apply_register([], register(f"Contact: <{A}>;expires=3600"), UDP, NOW, limits)
    assert told(change)[A] >= 3600


@pytest.mark.parametrize(
    "headers",
    [
        ["Contact: *"],
        ["Contact: *", "Expires: 1"],
        ["Contact: *", "Expires: "],
        ["Contact: *", "Expires: zero"],
        ["Contact: *;expires=0"],
        [f"Contact: *, <{A}>", "Expires: 0"],
        [f"Contact: <{A}>, *", "Expires: 0"],
        [f"Contact: <{A}>", "Contact: *", "Expires: 0"],
        ["Contact: *, *", "Expires: 0"],
    ],
)
def test_star_stands_alone_with_expires_0(headers: Sequence[str]) -> None:
    assert refusal([OLD_A], *headers).status == 400


@pytest.mark.parametrize(
    ("call_id", "cseq", "accepted"),
    [("a", 6, True), ("a", 5, False), ("a", 4, False), ("b", 6, True), ("b", 5, True), ("b", 1, True)],
)
@pytest.mark.parametrize("headers", [[f"Contact: <{A}>"], [f"Contact: <{A}>;expires=0"], ["Contact: *", "Expires: 0"]])
def test_order_of_requests(headers: Sequence[str], call_id: str, cseq: int, accepted: bool) -> None:
    """§10.3 steps 6 and 7: within one Call-ID, only a higher CSeq changes a binding."""
    current = [binding(A, call_id="a", cseq=5)]
    request = register(*headers, call_id=call_id, cseq=cseq)
    if accepted:
        change = apply(current, request)
        assert [(each.call_id, each.cseq) for each in change.bindings] in ([], [(call_id, cseq)])
    else:
        with pytest.raises(SipError) as caught:
            apply(current, request)
        assert caught.value.status == 500


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([f"Contact: <{A}>, <{B}>;expires=10"], 423),
        ([f"Contact: <{A}>;expires=0, <{B}>;expires=10"], 423),
        ([f"Contact: <{A}>, <{C}>"], 500),
        ([f"Contact: <{A}>, <nothing>"], 400),
        ([f"Contact: <{A}>;q=2"], 400),
        ([f"Contact: <{A}>;q=high"], 400),
        ([f"Contact: <{A}>, <{B}"], 400),
        ([f"Contact: <{A}>", "Path: nonsense"], 400),
        ([f"Contact: <{A}>, <{B}>, <sip:d@192.0.2.4>"], 403),
    ],
)
def test_all_or_nothing(headers: Sequence[str], status: int) -> None:
    current = (binding(C, call_id="a", cseq=9),)
    assert refusal(current, *headers).status == status
    assert current == (binding(C, call_id="a", cseq=9),)


def test_more_contacts_than_allowed() -> None:
    current = [OLD_A, OLD_B, OLD_C]
    assert refusal(current, "Contact: <sip:d@192.0.2.4>").status == 403
    # one that is refreshed, or takes the place of another, is not one more
    assert set(told(apply(current, register(f"Contact: <{B}>", cseq=2)))) == {A, B, C}
    change = apply(current, register(f"Contact: <{A}>;expires=0, <sip:d@192.0.2.4>", cseq=2))
    assert set(told(change)) == {B, C, "sip:d@192.0.2.4"}


def test_contact_can_leave_where_there_are_more_than_allowed() -> None:
    """The limit may be lower than before the last start."""
    current = [OLD_A, OLD_B, OLD_C, binding("sip:d@192.0.2.4"), binding("sip:e@192.0.2.5")]
    change = apply(current, register(f"Contact: <{A}>;expires=0", cseq=2))
    assert set(told(change)) == {B, C, "sip:d@192.0.2.4", "sip:e@192.0.2.5"}


def test_contact_that_is_named_twice_is_one_binding() -> None:
    """§10.3 step 7 compares with bindings that were there before; the last one holds."""
    assert told(apply([], register(f"Contact: <{A}>;expires=100, <{A}>;expires=200"))) == {A: 200}


def test_each_contact_is_bound_once_even_where_equality_is_not_transitive() -> None:
    """§19.1.4: sip:a;x=1 and sip:a;x=2 differ, and both equal sip:a. A contact is the key of its row."""
    bindings: tuple[Binding, ...] = ()
    for cseq, contact in enumerate([f"{A};x=1", f"{A};x=2", A, f"{A};x=1", f"{A};x=2"], 1):
        bindings = apply(bindings, register(f"Contact: <{contact}>", cseq=cseq)).bindings
        contacts = [each.contact for each in bindings]
        assert len(contacts) == len(set(contacts))


CONTACTS = st.sampled_from([A, B, C, f"{A};x=1", f"{A};x=2", f"{A};transport=tcp", "SIP:%61@192.0.2.1"])
REGISTERS = st.lists(st.tuples(CONTACTS, st.sampled_from(["", ";expires=0", ";expires=100"])), max_size=4)


@given(st.lists(REGISTERS, max_size=6))
def test_bindings_stay_sound_whatever_comes(registers: list[list[tuple[str, str]]]) -> None:
    bindings: tuple[Binding, ...] = ()
    for cseq, contacts in enumerate(registers, 1):
        lines = [f"Contact: <{contact}>{expires}" for contact, expires in contacts]
        with suppress(SipError):
            bindings = apply(bindings, register(*lines, cseq=cseq)).bindings
        assert len(bindings) <= LIMITS.max_contacts
        assert all(each.expires_at > NOW for each in bindings)


@pytest.mark.parametrize(
    ("text", "q"), [("", 1.0), (";q=0", 0.0), (";q=0.5", 0.5), (";q=1.000", 1.0), (";q=0.125", 0.125)]
)
def test_q(text: str, q: float) -> None:
    (bound,) = apply([], register(f"Contact: <{A}>{text}")).bindings
    assert bound.q == q


@pytest.mark.parametrize(
    ("headers", "methods", "takes"),
    [
        ([], None, True),
        (['{};methods="INVITE,MESSAGE"'], "INVITE,MESSAGE", True),
        (['{};methods="INVITE, MESSAGE"'], "INVITE,MESSAGE", True),
        (['{};methods="INVITE"'], "INVITE", False),
        (["{};methods=MESSAGE"], "MESSAGE", True),
        (['{};methods=""'], "", False),
        (['{};methods="MESSAGES"'], "MESSAGES", False),
        (["{}", "Allow: INVITE, MESSAGE"], "INVITE,MESSAGE", True),
        (["{}", "Allow: INVITE", "Allow: MESSAGE"], "INVITE,MESSAGE", True),
        (["{}", "Allow: INVITE"], "INVITE", False),
        (["{}", "Allow:"], "", False),
        # the contact's own word counts more than the request's
        (['{};methods="MESSAGE"', "Allow: INVITE"], "MESSAGE", True),
        (['{};methods="INVITE"', "Allow: MESSAGE"], "INVITE", False),
    ],
)
def test_methods(headers: Sequence[str], methods: str | None, takes: bool) -> None:
    lines = [line.format(f"Contact: <{A}>") for line in headers or ["{}"]]
    (bound,) = apply([], register(*lines)).bindings
    assert (bound.methods, bound.takes("MESSAGE")) == (methods, takes)


def test_binding_keeps_flow_path_and_order() -> None:
    headers = [f"Contact: <{A}>", "Path: <sip:edge.example.org;lr>, <sip:two;lr>", "Path: <sip:three;lr;ob>"]
    (bound,) = apply([], register(*headers, call_id="x", cseq=7), OTHER_FLOW).bindings
    assert bound.path == ("<sip:edge.example.org;lr>", "<sip:two;lr>", "<sip:three;lr;ob>")
    assert (bound.received, bound.call_id, bound.cseq) == (OTHER_FLOW, "x", 7)
    assert bound.registered_at == NOW


def test_refresh_replaces_path_q_and_methods() -> None:
    first = apply([], register(f'Contact: <{A}>;q=0.1;methods="INVITE"', "Path: <sip:edge;lr>"))
    (bound,) = apply(first.bindings, register(f"Contact: <{A}>", cseq=2)).bindings
    assert (bound.path, bound.q, bound.methods) == ((), 1.0, None)


@pytest.mark.parametrize(
    ("headers", "call_id", "received", "new"),
    [
        pytest.param([f"Contact: <{A}>"], "a", UDP, False, id="refresh"),
        pytest.param([f"Contact: <{A};ob>"], "a", UDP, False, id="refresh of an equal contact"),
        pytest.param([f"Contact: <{B}>"], "a", UDP, True, id="another contact"),
        pytest.param([f"Contact: <{A}>, <{B}>"], "a", UDP, True, id="refresh and another contact"),
        pytest.param([f"Contact: <{B}>, <{A}>"], "a", UDP, True, id="another contact and refresh"),
        pytest.param([f"Contact: <{A}>"], "b", UDP, True, id="another Call-ID: restarted"),
        pytest.param([f"Contact: <{A}>"], "a", OTHER_FLOW, True, id="another flow"),
        pytest.param([f"Contact: <{A}>;expires=0"], "b", OTHER_FLOW, False, id="removal"),
        pytest.param([f"Contact: <{B}>;expires=0"], "a", UDP, False, id="removal of what is not there"),
        pytest.param(["Contact: *", "Expires: 0"], "b", UDP, False, id="all removed"),
        pytest.param([], "b", OTHER_FLOW, False, id="query"),
    ],
)
def test_has_new(headers: Sequence[str], call_id: str, received: Received, new: bool) -> None:
    change = apply([OLD_A], register(*headers, call_id=call_id, cseq=2), received)
    assert change.has_new is new


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([f"Contact: <sip:{'a' * 500}@192.0.2.1>"], id="Contact"),
        pytest.param([f"Contact: <{A}>", *[f"Path: <sip:{'a' * 900}@edge;lr>"] * 5], id="Path"),
        pytest.param([f'Contact: <{A}>;methods="{",".join(["MESSAGE"] * 40)}"'], id="methods"),
        pytest.param([f"Contact: <{A}>", f"Allow: {','.join(['MESSAGE'] * 40)}"], id="Allow"),
        pytest.param(["Contact: <sip:b\udcff@192.0.2.1>"], id="Contact not UTF-8"),
    ],
)
def test_what_a_column_cannot_hold_is_refused(headers: Sequence[str]) -> None:
    """SPEC.md chapter 5; the widths are those of sipsilo_location."""
    assert refusal([], *headers).status == 400


@pytest.mark.parametrize("call_id", ["c" * 256, "c\udcff"], ids=["long", "not UTF-8"])
def test_call_id_that_a_column_cannot_hold_is_refused(call_id: str) -> None:
    with pytest.raises(SipError) as caught:
        apply([], register(f"Contact: <{A}>", call_id=call_id))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("change", "header"),
    [
        ({}, "<sip:a@192.0.2.1>;expires=1800"),
        ({"q": 0.0}, "<sip:a@192.0.2.1>;q=0;expires=1800"),
        ({"q": 0.125}, "<sip:a@192.0.2.1>;q=0.125;expires=1800"),
        ({"q": 0.001}, "<sip:a@192.0.2.1>;q=0.001;expires=1800"),
        ({"expires_at": NOW + 59.6}, "<sip:a@192.0.2.1>;expires=60"),
        ({"expires_at": NOW - 5}, "<sip:a@192.0.2.1>;expires=0"),
    ],
)
def test_contact_in_the_answer(change: Mapping[str, Any], header: str) -> None:
    assert OLD_A._replace(**change).header(NOW) == header
