import pytest

from sipsilo.sip.message import Request, Response
from sipsilo.transaction.client import ClientTransaction
from sipsilo.transaction.layer import Acknowledge, Ended, Send, TimedOut, Transactions, Verdict
from sipsilo.transaction.machine import TransactionError
from sipsilo.transaction.server import ServerTransaction
from sipsilo.transaction.timers import TimerValues
from tests.transaction.messages import request, response
from tests.transaction.timeline import run_until


def received(layer: Transactions, message: Request, now: float = 0) -> ServerTransaction:
    transaction = layer.receive_request(message, False, now, "flow")
    assert isinstance(transaction, ServerTransaction)
    return transaction


def sent(layer: Transactions, message: Request, now: float = 0) -> ClientTransaction:
    return layer.start_client(message, False, now, "owner")


def test_request_and_context_stay_with_the_transaction() -> None:
    layer = Transactions(limit=10)
    message = request()
    server = received(layer, message)
    assert server.request is message
    assert server.context == "flow"
    client = sent(layer, message)
    assert client.request is message
    assert client.context == "owner"


# -- answers


def test_a_retransmission_gets_the_same_response() -> None:
    layer = Transactions(limit=10)
    headers = [("Allow", "MESSAGE"), ("Accept", "text/plain")]
    answer = layer.reply(received(layer, request()), 405, 0, reason="No", headers=iter(headers), body=b"Really not")
    assert answer is not None
    again = layer.receive_request(request(), False, 1)
    assert isinstance(again, Response)
    assert again.to_bytes() == answer.to_bytes()
    assert again.start_line == "SIP/2.0 405 No"
    assert again.get_all("allow") == ["MESSAGE"]
    assert again.body == b"Really not"


def test_a_relayed_response_is_repeated_with_its_own_tag_and_headers() -> None:
    layer = Transactions(limit=10)
    transaction = received(layer, request())
    relayed = response(transaction.request, 200, tag="downstream")
    relayed.add("Record-Route", "<sip:proxy.example.org;lr>")
    relayed.add("x-odd", "kept, as it is")
    relayed.body = b"body"
    relayed.set("Content-Length", "4")
    assert layer.respond(transaction, relayed, 0) is relayed
    again = layer.receive_request(request(), False, 1)
    assert isinstance(again, Response)
    assert again.to.tag == "downstream"
    assert sorted(again.to_bytes().split(b"\r\n")) == sorted(relayed.to_bytes().split(b"\r\n"))


def test_a_retransmission_is_answered_over_its_own_via() -> None:
    # The client is behind a NAT that has changed the port: rport is the receiver's work (RFC 3581).
    layer = Transactions(limit=10)
    layer.reply(received(layer, request()), 202, 0)
    moved = request(via="SIP/2.0/UDP 192.0.2.1:5060;received=198.51.100.1;rport=2048")
    again = layer.receive_request(moved, False, 1)
    assert isinstance(again, Response)
    assert again.via.param("rport") == "2048"


def test_every_transaction_has_a_to_tag_of_its_own() -> None:
    layer = Transactions(limit=10)
    answers = [
        layer.reply(received(layer, request(branch=f"z9hG4bK-{name}", call_id=name)), status, 0)
        for name, status in (("1", 202), ("2", 202), ("3", 404))
    ]
    tags = {answer.to.tag for answer in answers if answer is not None}
    assert len(tags) == 3
    assert None not in tags


def test_a_tag_tells_nothing_to_somebody_who_knows_the_request() -> None:
    layers = Transactions(limit=1), Transactions(limit=1)
    first, second = (layer.reply(received(layer, request()), 202, 0) for layer in layers)
    assert first is not None
    assert second is not None
    assert first.to.tag != second.to.tag


def test_the_to_tag_of_a_dialog_stays() -> None:
    layer = Transactions(limit=10)
    answer = layer.reply(received(layer, request(to_tag="dialog")), 200, 0)
    assert answer is not None
    again = layer.receive_request(request(to_tag="dialog"), False, 1)
    assert isinstance(again, Response)
    assert answer.to.tag == again.to.tag == "dialog"


def test_a_100_has_no_to_tag_and_the_timestamp_of_the_request() -> None:
    # §17.2.1, §8.2.6.1
    layer = Transactions(limit=10)
    received(layer, request(extra="Timestamp: 54.21"))
    (output,) = layer.advance(4)
    assert isinstance(output, Send)
    assert isinstance(output.message, Response)
    assert output.message.status == 100
    assert output.message.to.tag is None
    assert output.message.get("timestamp") == "54.21"

    layer = Transactions(limit=10)
    answer = layer.reply(received(layer, request("INVITE")), 100, 0)
    assert answer is not None
    assert answer.to.tag is None


def test_refusing_a_response_changes_nothing() -> None:
    layer = Transactions(limit=10)
    transaction = received(layer, request())
    for status in (100, 183, 408):
        with pytest.raises(TransactionError):
            layer.reply(transaction, status, 0)
        with pytest.raises(TransactionError):
            layer.respond(transaction, response(transaction.request, status), 0)
    assert layer.reply(transaction, 200, 0) is not None
    with pytest.raises(TransactionError, match="500 to a MESSAGE in state Completed"):
        layer.reply(transaction, 500, 1)
    again = layer.receive_request(request(), False, 2)
    assert isinstance(again, Response)
    assert again.status == 200


def test_answers_that_differ_in_everything_are_kept_apart() -> None:
    # More of them than are shared between transactions.
    layer = Transactions(limit=1000)
    names = [str(number) for number in range(600)]
    for name in names:
        transaction = received(layer, request(branch=f"z9hG4bK-{name}", call_id=name))
        layer.reply(transaction, 200, 0, headers=[("X-Name", name)])
    for name in names:
        again = layer.receive_request(request(branch=f"z9hG4bK-{name}", call_id=name), False, 1)
        assert isinstance(again, Response)
        assert again.get("x-name") == name


def test_a_stateless_response_has_the_same_tag_each_time() -> None:
    # §8.2.7; also for a request that no transaction can be made of
    layer = Transactions(limit=10)
    broken = request()
    broken.set("Via", "nonsense")
    for message, again in ((request(), request()), (broken, broken.copy())):
        first = layer.stateless_response(message, 503, headers=[("Retry-After", "5")])
        second = layer.stateless_response(again, 503)
        assert first.get("retry-after") == "5"
        assert first.to.tag == second.to.tag is not None
    assert layer.stateless_response(request(call_id="other"), 503).to.tag != first.to.tag


def test_a_transaction_that_is_forgotten_is_new_again() -> None:
    layer = Transactions(limit=10)
    transaction = received(layer, request())
    layer.forget_server(transaction)
    assert layer.server_count == 0
    layer.forget_server(transaction)
    # neither by its key nor as a twin over another path is it known
    assert received(layer, request()) is not transaction
    assert layer.receive_request(request(branch="z9hG4bK-other"), False, 1) is Verdict.MERGED
    assert layer.advance(1e6)
    assert layer.server_count == 0


# -- limits


def test_beyond_the_limit_only_what_is_known_is_served() -> None:
    layer = Transactions(limit=2)
    layer.reply(received(layer, request()), 202, 0)
    invite = received(layer, request("INVITE", branch="z9hG4bK-2", call_id="2"))
    third = request(branch="z9hG4bK-3", call_id="3")
    assert layer.receive_request(third, False, 0) is Verdict.FULL
    assert isinstance(layer.receive_request(request(), False, 0), Response)
    layer.reply(invite, 486, 0)
    assert layer.receive_request(request("ACK", branch="z9hG4bK-2"), False, 0) is Verdict.ABSORBED
    layer.advance(33)
    received(layer, third, 33)


# -- clients


def test_the_ack_to_a_failure() -> None:
    # the example of §17.1.1.3, with a Route
    invite = request(
        "INVITE",
        via="SIP/2.0/UDP pc33.atlanta.com",
        branch="z9hG4bKkjshdyff",
        cseq=986759,
        extra="Route: <sip:p1.example.org;lr>, <sip:p2.example.org;lr>\r\nRoute: <sip:p3.example.org;lr>",
    )
    invite.fields.append(("via", "SIP/2.0/UDP below.example.org", "Via: SIP/2.0/UDP below.example.org"))
    layer = Transactions(limit=10)
    transaction = sent(layer, invite)
    first = layer.receive_response(response(invite, 486, tag="99sa0xk"), 1)
    assert isinstance(first, Acknowledge)
    assert first.transaction is transaction
    assert first.is_first
    assert first.ack.to_bytes().decode().split("\r\n") == [
        "ACK sip:bob@example.org SIP/2.0",
        "Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKkjshdyff",
        "Route: <sip:p1.example.org;lr>, <sip:p2.example.org;lr>",
        "Route: <sip:p3.example.org;lr>",
        "Max-Forwards: 70",
        "From: Alice <sip:alice@example.org>;tag=a",
        "To: <sip:bob@example.org>;tag=99sa0xk",
        "Call-ID: call-1",
        "CSeq: 986759 ACK",
        "Content-Length: 0",
        "",
        "",
    ]
    again = layer.receive_response(response(invite, 486, tag="99sa0xk"), 2)
    assert again == Acknowledge(transaction, first.ack, is_first=False)


@pytest.mark.parametrize("bad", [request(branch=None), request("ACK")])
def test_what_cannot_be_a_client_transaction(bad: Request) -> None:
    layer = Transactions(limit=10)
    with pytest.raises(TransactionError):
        layer.start_client(bad, False, 0)
    assert layer.next_deadline() is None


def test_a_branch_is_used_once() -> None:
    layer = Transactions(limit=10)
    first = sent(layer, request())
    with pytest.raises(TransactionError):
        sent(layer, request())
    assert layer.receive_response(response(first.request, 200), 0) is first
    with pytest.raises(TransactionError):  # its retransmissions may still come
        sent(layer, request())


def test_a_forgotten_client_is_silent() -> None:
    layer = Transactions(limit=10)
    transaction = sent(layer, request())
    layer.forget(transaction)
    layer.forget(transaction)
    assert layer.client_count == 0
    assert run_until(layer, 100) == []
    assert layer.receive_response(response(transaction.request, 200), 100) is Verdict.UNMATCHED
    assert not layer.transport_failed(transaction, 100)


def test_forgetting_an_answered_client_leaves_its_retransmissions_absorbed() -> None:
    layer = Transactions(limit=10)
    transaction = sent(layer, request())
    layer.receive_response(response(transaction.request, 200), 0)
    layer.forget(transaction)
    assert layer.receive_response(response(transaction.request, 200), 1) is Verdict.ABSORBED
    layer.advance(6)
    assert layer.client_count == 0


# -- time


def test_a_shell_that_slept_too_long_gets_what_still_matters() -> None:
    layer = Transactions(limit=10)
    server = received(layer, request())
    client = sent(layer, request(branch="z9hG4bK-2"))
    assert layer.advance(40) == [Ended(server), TimedOut(client)]
    assert layer.next_deadline() is None

    # One retransmission, not five at once, and the next an interval later.
    client = sent(layer, request(branch="z9hG4bK-3"), 100)
    assert layer.advance(110) == [Send(client, client.request)]
    assert layer.advance(110.9) == []
    assert layer.advance(111) == [Send(client, client.request)]


def test_a_flood_of_provisional_responses_leaves_nothing_behind() -> None:
    layer = Transactions(limit=10)
    transaction = sent(layer, request())
    for _ in range(1000):
        assert layer.receive_response(response(transaction.request, 100), 0.1) is transaction
    assert len(layer._client_deadlines.due(1000)) == 1


def test_shorter_timers() -> None:
    layer = Transactions(TimerValues(t1=0.01, t2=0.04, t4=0.05), limit=10)
    transaction = sent(layer, request())
    events = run_until(layer, 10)
    assert events[-1] == (0.6, "timed out")
    assert len(events) == 18  # at 10, 30, then every 40 ms until 640 ms
    layer.receive_response(response(transaction.request, 200), 1)
    assert layer.client_count == 0


def test_deadlines_are_few_when_transactions_are_many() -> None:
    # 10,000 requests in a second are answered, then wait for Timer J.
    layer = Transactions(limit=100_000)
    for number in range(10_000):
        now = number / 10_000
        message = request(branch=f"z9hG4bK-{number}", call_id=str(number))
        layer.reply(received(layer, message, now), 202, now)
    wakes = 0
    while (deadline := layer.next_deadline()) is not None:
        assert layer.advance(deadline) == []
        wakes += 1
    assert wakes <= 2 * 65  # a tick is a 64th of a second
    assert layer.server_count == 0
