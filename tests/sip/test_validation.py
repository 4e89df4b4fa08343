import pytest

from sipsilo.sip.errors import SipError
from sipsilo.sip.message import Request
from sipsilo.sip.parser import parse_message
from sipsilo.sip.validation import check_request, check_required

HEADERS = {
    "Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
    "Max-Forwards": "70",
    "From": "<sip:alice@example.org>;tag=1",
    "To": "<sip:bob@example.org>",
    "Call-ID": "1@192.0.2.1",
    "CSeq": "1 MESSAGE",
    "Content-Type": "text/plain",
    "Content-Length": "2",
}


def request(uri: str = "sip:bob@example.org", more: str = "", **changes: str | None) -> Request:
    """A good request with some headers changed, or left out (None)."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value is not None]
    message = parse_message("".join([f"MESSAGE {uri} SIP/2.0\r\n", *lines, more, "\r\nHi"]).encode())
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    "good",
    [
        request(),
        request(Max_Forwards=None, Content_Type=None, Content_Length=None),
        request(Max_Forwards="0"),
        request(Max_Forwards="0068"),
        # RFC 4475 §3.1.2.4: more than 255 may be treated as if it were not there
        request(Max_Forwards="300"),
        # RFC 2543 had no tags
        request(From="sip:alice@example.org"),
        request(uri="sips:bob@example.org"),
        request(uri="tel:+1-201-555-0123"),
        request(uri="nobodyKnowsThisScheme:totallyopaquecontent"),
        request(more="Via: SIP/2.0/UDP 192.0.2.2\r\nv: SIP/2.0/UDP 192.0.2.3\r\n"),
        request(more="Contact: <sip:a@b>\r\nm: <sip:c@d>\r\n"),
        request(more="X-Own: 1\r\nX-Own: 2\r\n"),
    ],
)
def test_good(good: Request) -> None:
    before = good.to_bytes()
    check_request(good)
    assert good.to_bytes() == before


@pytest.mark.parametrize(
    ("bad", "reason", "cause"),
    [
        # §8.1.1: what every request has
        (request(Via=None), "Missing Via Header", "malformed"),
        (request(From=None), "Missing From Header", "malformed"),
        (request(To=None), "Missing To Header", "malformed"),
        (request(Call_ID=None), "Missing Call-Id Header", "malformed"),
        (request(CSeq=None), "Missing Cseq Header", "malformed"),
        (request(Via=""), "Missing Via Header", "malformed"),
        (request(Via=","), "Bad Via Header", "malformed"),
        (request(Via="SIP/2.0/UDP"), "Bad Via Header", "malformed"),
        (request(From='"Alice <sip:alice@example.org>'), "Bad Display Name", "malformed"),
        (request(To="<sip:bob@example.org"), "Bad Address Header", "malformed"),
        (request(To="<sip:bob@>"), "Bad URI", "malformed"),
        (request(CSeq="one MESSAGE"), "Bad CSeq Header", "malformed"),
        (request(CSeq="2147483648 MESSAGE"), "Bad CSeq Header", "malformed"),
        # §8.1.1.5, §7.1: methods are case-sensitive
        (request(CSeq="1 REGISTER"), "CSeq Method Does Not Match", "cseq"),
        (request(CSeq="1 message"), "CSeq Method Does Not Match", "cseq"),
        (request(Max_Forwards="-1"), "Bad Max-Forwards Header", "malformed"),
        (request(Max_Forwards="x"), "Bad Max-Forwards Header", "malformed"),
        (request(Max_Forwards=""), "Bad Max-Forwards Header", "malformed"),
        (request(uri="sip:"), "Bad URI", "malformed"),
        (request(uri="sip:bob@example.org:99999"), "Bad Port in URI", "malformed"),
        (request(uri="<sip:bob@example.org>"), "Bad URI", "malformed"),
        # §7.3.1: only lists may stand in several lines
        (request(more="f: <sip:carol@example.org>;tag=1\r\n"), "More Than One From Header", "repeated"),
        (request(more="To: <sip:carol@example.org>\r\n"), "More Than One To Header", "repeated"),
        (request(more="I: 1@192.0.2.1\r\n"), "More Than One Call-Id Header", "repeated"),
        (request(more="CSeq: 1 MESSAGE\r\n"), "More Than One Cseq Header", "repeated"),
        (request(more="Max-Forwards: 70\r\n"), "More Than One Max-Forwards Header", "repeated"),
        (request(more="c: text/plain\r\n"), "More Than One Content-Type Header", "repeated"),
        (request(more="L: 2\r\n"), "More Than One Content-Length Header", "repeated"),
    ],
)
def test_bad(bad: Request, reason: str, cause: str) -> None:
    with pytest.raises(SipError) as caught:
        check_request(bad)
    error = caught.value
    assert (error.status, error.reason, error.cause) == (400, reason, cause)
    assert error.request is bad


# -- Require (§8.2.2.3)


@pytest.mark.parametrize(
    "more", ["", "Require: path\r\n", "Require: PATH, gruu\r\nrequire:path\r\n", "Require: \r\n", "Require: ,\r\n"]
)
def test_required_and_supported(more: str) -> None:
    check_required(request(more=more), frozenset(("path", "gruu")))


@pytest.mark.parametrize(
    ("more", "unsupported"),
    [
        ("Require: 100rel\r\n", "100rel"),
        ("Require: path, 100rel ,gruu\r\n", "100rel, gruu"),
        ("Require: path\r\nRequire: Outbound\r\n", "Outbound"),
    ],
)
def test_required_and_unsupported(more: str, unsupported: str) -> None:
    with pytest.raises(SipError) as caught:
        check_required(request(more=more), frozenset(("path",)))
    error = caught.value
    assert (error.status, error.cause, error.headers) == (420, "require", (("Unsupported", unsupported),))


def test_nothing_is_supported_unless_said() -> None:
    with pytest.raises(SipError):
        check_required(request(more="Require: path\r\n"))
