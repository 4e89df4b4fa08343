"""All that a server reads of a message and does with it: each works or raises SipError, nothing else."""

from collections.abc import Callable
from contextlib import suppress

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import parse_date, parse_media_type, parse_name_addr, parse_number, parse_q, parse_via
from sipsilo.sip.message import Message, Request, Response
from sipsilo.sip.parser import parse_message
from sipsilo.sip.uri import equivalent, parse_uri
from sipsilo.sip.validation import check_request

ADDRESSES = ("from", "to", "contact", "route", "record-route", "path", "subject", "x-own")


def read_addresses(message: Message) -> None:
    for name in ADDRESSES:
        for value in message.values(name):
            address = parse_name_addr(value)
            assert parse_name_addr(str(address)) == address
            assert equivalent(address.uri, parse_uri(str(address.uri)))
            parse_q(address.param("q") or "")


def read_vias(message: Message) -> None:
    vias = [parse_via(value) for value in message.values("via")]
    assert [message.via] == vias[:1]
    assert [parse_via(str(via)) for via in vias] == vias


def read_numbers(message: Message) -> None:
    for name in ("expires", "max-forwards", "subject", "x-own"):
        parse_number(message.get(name) or "", name)


READINGS: list[Callable[[Message], object]] = [
    lambda message: message.via,
    lambda message: message.from_.uri.aor,
    lambda message: message.to.tag,
    lambda message: message.cseq,
    lambda message: message.call_id,
    read_addresses,
    read_vias,
    read_numbers,
    lambda message: [parse_media_type(value) for value in message.values("subject")],
    lambda message: parse_date(message.get("subject") or ""),
    lambda message: message.replace_first("Via", None),
]


def read_everything(message: Message) -> None:
    if isinstance(message, Request):
        with suppress(SipError):
            check_request(message)
        answer(message)
    for reading in READINGS:
        with suppress(SipError):
            reading(message)


def answer(request: Request, status: int = 400) -> None:
    """An answer can be made of any request, and is a message itself."""
    response = parse_message(request.response(status, to_tag="t").to_bytes())
    assert isinstance(response, Response)
    assert response.status == status


def answer_to(error: SipError) -> None:
    """An error says what to answer, and to what."""
    assert 400 <= error.status < 700
    assert error.reason
    assert error.cause
    if error.request is not None:
        answer(error.request, error.status)
