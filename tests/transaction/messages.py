"""Requests and responses as they come from the network."""

from sipsilo.sip.message import Request, Response
from sipsilo.sip.parser import parse_message


def request(
    method: str = "MESSAGE",
    *,
    via: str = "SIP/2.0/UDP 192.0.2.1:5060",
    branch: str | None = "z9hG4bK-1",
    uri: str = "sip:bob@example.org",
    from_tag: str = "a",
    to_tag: str | None = None,
    call_id: str = "call-1",
    cseq: int = 1,
    extra: str = "",
) -> Request:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via}" + (f";branch={branch}" if branch is not None else ""),
        f"From: Alice <sip:alice@example.org>;tag={from_tag}",
        "To: <sip:bob@example.org>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
        *([extra] if extra else []),
    ]
    message = parse_message("\r\n".join([*lines, "Content-Length: 2", "", "Hi"]).encode())
    assert isinstance(message, Request)
    return message


def response(to: Request, status: int, tag: str = "b") -> Response:
    """A response as it comes from the network."""
    message = parse_message(to.response(status, to_tag=None if status == 100 else tag).to_bytes())
    assert isinstance(message, Response)
    return message
