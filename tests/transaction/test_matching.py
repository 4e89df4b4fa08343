import re
from typing import Any

import pytest

from sipsilo.sip.errors import SipError
from sipsilo.transaction.client import ClientTransaction
from sipsilo.transaction.layer import Transactions, Verdict
from sipsilo.transaction.matching import new_branch
from sipsilo.transaction.server import ServerTransaction
from tests.transaction.messages import request, response

OLD = "1"  # a branch of RFC 2543


def layer_with(method: str, status: int | None, **first: Any) -> Transactions:
    """A layer that has received one request, and answered it."""
    layer = Transactions(limit=10)
    transaction = layer.receive_request(request(method, **first), False, 0)
    assert isinstance(transaction, ServerTransaction)
    if status is not None:
        layer.reply(transaction, status, 0)
    return layer


def answer_tag(layer: Transactions) -> str | None:
    """The To tag with which the INVITE was answered."""
    (transaction,) = layer._servers.values()
    assert isinstance(transaction, ServerTransaction)
    assert transaction.response is not None
    return transaction.response.to.tag


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        # §17.2.3: branch, sent-by and method
        ({}, {}, True),
        ({}, {"uri": "sip:carol@example.org", "call_id": "other", "from_tag": "z", "cseq": 9}, True),
        ({}, {"branch": "z9hG4bK-2"}, False),
        ({}, {"via": "SIP/2.0/UDP 192.0.2.2:5060"}, False),
        ({}, {"via": "SIP/2.0/UDP 192.0.2.1:5061"}, False),
        ({}, {"via": "SIP/2.0/UDP 192.0.2.1"}, False),
        ({"via": "SIP/2.0/UDP a.example.org"}, {"via": "SIP/2.0/UDP A.Example.ORG"}, True),
        ({}, {"via": "SIP/2.0/UDP 192.0.2.1:5060;received=198.51.100.7;rport=1024"}, True),
        # without the cookie: Request-URI, tags, Call-ID, CSeq, top Via
        ({"branch": OLD}, {"branch": OLD}, True),
        ({"branch": None}, {"branch": None}, True),
        ({"branch": None}, {"branch": OLD}, False),
        ({"branch": OLD}, {"branch": "2"}, False),
        ({"branch": OLD}, {"branch": OLD, "via": "SIP/2.0/UDP 192.0.2.2:5060"}, False),
        ({"branch": OLD}, {"branch": OLD, "via": "SIP/2.0/UDP 192.0.2.1:5060;received=192.0.2.1"}, True),
        ({"branch": OLD}, {"branch": OLD, "via": "SIP/2.0/TCP 192.0.2.1:5060"}, False),
        ({"branch": OLD}, {"branch": OLD, "uri": "sip:carol@example.org"}, False),
        ({"branch": OLD}, {"branch": OLD, "from_tag": "z"}, False),
        ({"branch": OLD}, {"branch": OLD, "to_tag": "z"}, False),
        ({"branch": OLD}, {"branch": OLD, "call_id": "other"}, False),
        ({"branch": OLD}, {"branch": OLD, "cseq": 2}, False),
        # RFC 4475 §3.2.1: the cookie with nothing behind it says nothing
        ({"branch": "z9hG4bK"}, {"branch": "z9hG4bK"}, True),
        ({"branch": "z9hG4bK"}, {"branch": "z9hG4bK", "call_id": "other"}, False),
    ],
)
@pytest.mark.parametrize("method", ["MESSAGE", "INVITE"])
def test_a_request_is_a_retransmission(method: str, first: dict[str, Any], second: dict[str, Any], same: bool) -> None:
    layer = layer_with(method, None, **first)
    # A tag of the dialog, so that nothing is taken for merged.
    received = layer.receive_request(request(method, **{"to_tag": None} | second), False, 0)
    assert (received is Verdict.ABSORBED) is same


@pytest.mark.parametrize("branch", ["z9hG4bK-1", OLD])
@pytest.mark.parametrize("method", ["CANCEL", "MESSAGE", "OPTIONS"])
def test_another_method_is_another_transaction(branch: str, method: str) -> None:
    layer = layer_with("INVITE", None, branch=branch)
    received = layer.receive_request(request(method, branch=branch), False, 0)
    assert isinstance(received, ServerTransaction)
    assert layer.server_count == 2


@pytest.mark.parametrize(
    ("invite", "ack", "absorbed"),
    [
        # §17.2.3: the branch of the INVITE is enough
        ({}, {}, True),
        ({}, {"to_tag": "whatever"}, True),
        ({}, {"branch": "z9hG4bK-2"}, False),
        ({}, {"via": "SIP/2.0/UDP 192.0.2.2:5060"}, False),
        # without the cookie the To tag of the response counts
        ({"branch": OLD}, {"branch": OLD, "to_tag": "ours"}, True),
        ({"branch": OLD}, {"branch": OLD, "to_tag": "another"}, False),
        ({"branch": OLD}, {"branch": OLD}, False),
        ({"branch": OLD}, {"branch": OLD, "to_tag": "ours", "cseq": 2}, False),
        ({"branch": OLD}, {"branch": OLD, "to_tag": "ours", "from_tag": "z"}, False),
        ({"branch": OLD}, {"branch": OLD, "to_tag": "ours", "uri": "sip:carol@example.org"}, False),
        ({"branch": OLD}, {"branch": OLD, "to_tag": "ours", "call_id": "other"}, False),
        ({"branch": OLD, "to_tag": "dialog"}, {"branch": OLD, "to_tag": "dialog"}, True),
        ({"branch": OLD, "to_tag": "dialog"}, {"branch": OLD, "to_tag": "other"}, False),
    ],
)
def test_an_ack_belongs_to_the_invite(invite: dict[str, Any], ack: dict[str, Any], absorbed: bool) -> None:
    layer = layer_with("INVITE", 404, **invite)
    if ack.get("to_tag") == "ours":
        ack = ack | {"to_tag": answer_tag(layer)}
    received = layer.receive_request(request("ACK", **ack), False, 1)
    assert received is (Verdict.ABSORBED if absorbed else Verdict.ACK)
    # Only an ACK that belongs to it stops the retransmission of the 404.
    assert (layer.advance(2) == []) is absorbed


def test_the_ack_for_a_2xx_of_an_old_client_is_for_the_user() -> None:
    # RFC 6026 §6: it has the INVITE's own branch
    layer = layer_with("INVITE", 200, branch=OLD)
    ack = request("ACK", branch=OLD, to_tag=answer_tag(layer))
    assert layer.receive_request(ack, False, 1) is Verdict.ACK


@pytest.mark.parametrize("branch", ["z9hG4bK-1", OLD])
def test_an_ack_before_any_response_acknowledges_nothing(branch: str) -> None:
    layer = layer_with("INVITE", None, branch=branch)
    assert layer.receive_request(request("ACK", branch=branch), False, 0) is Verdict.ACK


def test_an_ack_without_an_invite_is_for_the_user() -> None:
    layer = layer_with("MESSAGE", None)
    assert layer.receive_request(request("ACK"), False, 0) is Verdict.ACK
    assert layer.server_count == 1


@pytest.mark.parametrize(
    ("other", "merged"),
    [
        # §8.2.2.2: same From tag, Call-ID, CSeq over another path
        ({}, True),
        ({"via": "SIP/2.0/UDP 192.0.2.9:5060", "branch": "z9hG4bK-1"}, True),
        ({"branch": OLD}, True),
        ({"from_tag": "z"}, False),
        ({"call_id": "other"}, False),
        ({"cseq": 2}, False),
        # a fork to two users of ours
        ({"uri": "sip:carol@example.org"}, False),
        # a request inside a dialog
        ({"to_tag": "b"}, False),
    ],
)
@pytest.mark.parametrize("status", [None, 202])
@pytest.mark.parametrize("method", ["MESSAGE", "INVITE"])
def test_merged_requests(method: str, status: int | None, other: dict[str, Any], merged: bool) -> None:
    layer = layer_with(method, status)
    received = layer.receive_request(request(method, **{"branch": "z9hG4bK-2"} | other), False, 0)
    assert (received is Verdict.MERGED) is merged
    assert isinstance(received, ServerTransaction) is not merged
    assert layer.server_count == (1 if merged else 2)


def test_the_cancel_of_each_path_is_a_request_of_its_own() -> None:
    layer = layer_with("CANCEL", None)
    received = layer.receive_request(request("CANCEL", branch="z9hG4bK-2"), False, 0)
    assert isinstance(received, ServerTransaction)


def test_a_copy_that_comes_after_the_transaction_is_new() -> None:
    layer = layer_with("MESSAGE", 202)
    layer.advance(33)
    assert isinstance(layer.receive_request(request(branch="z9hG4bK-2"), False, 33), ServerTransaction)

    layer = Transactions(limit=10)
    first = layer.receive_request(request(), True, 0)
    assert isinstance(first, ServerTransaction)
    layer.reply(first, 202, 0)  # over a stream it ends here
    assert isinstance(layer.receive_request(request(branch="z9hG4bK-2"), True, 0), ServerTransaction)


@pytest.mark.parametrize(
    ("answered", "matches"),
    [
        # §17.1.3: branch and method of CSeq
        (request(), True),
        (request(call_id="other", from_tag="z"), True),
        (request(branch="z9hG4bK-2"), False),
        (request(branch=None), False),
        (request("OPTIONS"), False),
        (request("CANCEL"), False),
    ],
)
def test_a_response_belongs_to_a_request(answered: Any, matches: bool) -> None:
    layer = Transactions(limit=10)
    transaction = layer.start_client(request(), False, 0)
    matched = layer.receive_response(response(answered, 200), 0)
    assert matched is (transaction if matches else Verdict.UNMATCHED)


def test_cancel_and_invite_share_a_branch() -> None:
    layer = Transactions(limit=10)
    invite = layer.start_client(request("INVITE"), False, 0)
    cancel = layer.start_client(request("CANCEL"), False, 0)
    assert layer.receive_response(response(cancel.request, 200), 0) is cancel
    assert isinstance(layer.receive_response(response(invite.request, 180), 0), ClientTransaction)


@pytest.mark.parametrize("broken", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_a_request_that_cannot_be_matched_raises_the_one_error(broken: str) -> None:
    bad = request()
    bad.set(broken, "")
    layer = Transactions(limit=10)
    with pytest.raises(SipError):
        layer.receive_request(bad, False, 0)
    assert layer.server_count == 0
    assert layer.next_deadline() is None


def test_new_branches_differ_and_have_the_cookie() -> None:
    branches = {new_branch() for _ in range(1000)}
    assert len(branches) == 1000
    assert all(re.fullmatch("z9hG4bK[0-9a-f]{16}", branch) for branch in branches)
