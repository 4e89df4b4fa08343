"""Which final response goes upstream, and how (RFC 3261 §16.7)."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipsilo.proxy.response_context import best_response, upstream
from sipsilo.sip.message import Response
from sipsilo.sip.parser import parse_message


def response(status: int, *headers: str) -> Response:
    lines = [
        f"SIP/2.0 {status} Some reason",
        "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKours",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKtheirs",
        "From: <sip:alice@example.org>;tag=a",
        "To: <sip:bob@example.org>;tag=b",
        "Call-ID: 1",
        "CSeq: 1 MESSAGE",
        *headers,
        "Content-Length: 2",
        "",
        "Hi",
    ]
    message = parse_message("\r\n".join(lines).encode())
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        ([], None),
        ([486], 486),
        ([486, 200], 200),
        ([603, 200], 200),
        ([202, 200], 200),
        # 6xx before all but 2xx
        ([486, 603], 603),
        ([302, 600], 600),
        # else the lowest class
        ([503, 486], 486),
        ([486, 302], 302),
        ([500, 408], 408),
        # and in it what tells how to ask better
        ([404, 401], 401),
        ([400, 407], 407),
        ([404, 415], 415),
        ([404, 420], 420),
        ([404, 484], 484),
        ([486, 480], 480),
    ],
)
def test_best_response(statuses: Sequence[int], best: int | None) -> None:
    for order in (statuses, statuses[::-1]):
        chosen = best_response([response(status) for status in order])
        assert (chosen and chosen.status) == best


@given(st.lists(st.integers(200, 699), min_size=1, max_size=6))
def test_best_response_obeys_the_rfc(statuses: list[int]) -> None:
    """§16.7 step 6."""
    best = best_response([response(status) for status in statuses])
    assert best is not None and best.status in statuses
    if min(statuses) < 300:
        assert best.status < 300
    elif max(statuses) >= 600:
        assert best.status >= 600
    else:
        assert best.status // 100 == min(statuses) // 100


def test_response_goes_on_without_our_via() -> None:
    original = response(401, 'WWW-Authenticate: Digest realm="x"')
    before = original.to_bytes()
    expected = before.replace(b"Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKours\r\n", b"")
    assert upstream(original).to_bytes() == expected
    assert original.to_bytes() == before
