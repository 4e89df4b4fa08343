"""The torture messages of RFC 4475, §3.1 to §3.4, as far as parsing is concerned.

Bodies are shortened, and so Content-Length is counted anew where the RFC has it right.
"""

import pytest

from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import (
    Via,
    find_param,
    parse_date,
    parse_media_type,
    parse_name_addr,
    parse_number,
    parse_via,
    unquote,
)
from sipsilo.sip.message import Request, Response
from sipsilo.sip.parser import parse_message
from sipsilo.sip.stream import StreamParser
from sipsilo.sip.uri import equivalent, parse_uri
from sipsilo.sip.validation import check_request

SDP = b"v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 49217 RTP/AVP 0 12\r\n"


def wire(text: str, body: bytes = b"") -> bytes:
    """A message from its lines; LENGTH stands for the length of the body."""
    head = text.strip("\n").replace("LENGTH", str(len(body))).replace("\n", "\r\n")
    return head.encode() + b"\r\n\r\n" + body


def valid(data: bytes) -> Request | Response:
    """Parse what must be accepted, and written back byte for byte."""
    message = parse_message(data)
    if isinstance(message, Request):
        check_request(message)
    assert message.to_bytes() == data
    return message


def valid_request(data: bytes) -> Request:
    message = valid(data)
    assert isinstance(message, Request)
    return message


# -- §3.1.1 valid messages


def test_wsinv() -> None:
    """§3.1.1.1: folding, white space, compact forms, values over several lines."""
    message = valid_request(
        wire(
            r"""
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : LENGTH
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
""",
            SDP,
        )
    )
    assert message.uri.params == (("unknownparam", None),)
    assert (message.to.uri_text, message.to.tag) == ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
    assert unquote(message.from_.display) == 'J Rosenberg \\"'
    assert (message.from_.uri_text, message.from_.tag) == ("sip:jdrosen@example.com", "98asjd8")
    assert parse_number(message.get("max-forwards") or "", "Max-Forwards") == 68
    assert message.cseq == (9, "INVITE")
    assert [parse_via(value) for value in message.values("via")] == [
        Via("UDP", "192.0.2.2", None, (("branch", "390skdjuw"),)),
        Via("TCP", "spindle.example.com", None, (("branch", "z9hG4bK9ikj8"),)),
        Via("UDP", "192.168.255.111", None, (("branch", "z9hG4bK30239"),)),
    ]
    assert message.get("subject") == ""
    assert message.get("newfangledheader") == "newfangled value continued newfangled value"
    assert message.get("unknownheaderwithunusualvalue") == ";;,,;;,;"
    (contact,) = map(parse_name_addr, message.values("contact"))
    assert unquote(contact.display) == 'Quoted string ""'
    assert contact.params == (("newparam", "newvalue"), ("secondparam", None), ("q", "0.33"))
    (route,) = map(parse_name_addr, message.values("route"))
    assert route.uri.params == (("lr", None), ("unknownwith", "value"), ("unknown-no-value", None))
    assert message.body == SDP


BOM = "\ufeff"
USER = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
METHOD = "!interesting-Method0123456789_*+`.%indeed'~"


def intmeth(to: str) -> bytes:
    return wire(
        rf"""
{METHOD} sip:{USER}:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~
To: {to}
From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="работающий";tag=_token~1'+`*%!-.
Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}}{{
CSeq: 139122385 {METHOD}
Max-Forwards: 255
extensionHeader-!.%*+_`'~:{BOM}大停電
Content-Length: 0
"""
    )


def test_intmeth() -> None:
    """§3.1.1.2: all the characters that tokens, words, users and passwords may have."""
    message = valid_request(intmeth(f"<sip:{USER}@example.com>"))
    assert message.method == message.cseq.method == METHOD
    assert (message.uri.user, message.uri.host) == (USER, "example.com")
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.via.branch == "z9hG4bK-.!%66*_+`'~"
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.param("fromparam''~+*_!.-%") == "работающий"
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.get("extensionheader-!.%*+_`'~") == "\ufeff大停電"


def test_intmeth_quoted_pairs() -> None:
    """§3.1.1.2: a quoted-pair may be of any octet but CR and LF, NUL too (RFC 3261 §25.1)."""
    message = valid_request(intmeth(f'"BEL:\\\x07 NUL:\\\0 DEL:\\\x7f" <sip:{USER}@example.com>'))
    assert unquote(message.to.display) == "BEL:\x07 NUL:\0 DEL:\x7f"
    assert message.to.uri.user == USER


def test_esc01() -> None:
    """§3.1.1.3: escapes stand for characters and are taken away once only."""
    message = valid_request(
        wire(
            """
INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0
To: sip:%75se%72@example.com
From: <sip:I%20have%20spaces@example.net>;tag=938
Max-Forwards: 87
i: esc01.239409asdfakjkn23onasd0-3234
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
C: application/sdp
Contact:
  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: LENGTH
""",
            SDP,
        )
    )
    assert message.uri.user == "sips%3Auser%40example.com"
    assert str(message.uri.aor) == "sip:sips%3Auser%40example.com@example.net"
    assert str(message.to.uri.aor) == "sip:user@example.com"
    assert str(message.from_.uri.aor) == "sip:I%20have%20spaces@example.net"
    assert message.get("content-type") == "application/sdp"
    (contact,) = map(parse_name_addr, message.values("contact"))
    assert equivalent(contact.uri, parse_uri("sip:caller@host5.example.net;lr;name=value%2541"))
    assert not equivalent(contact.uri, parse_uri("sip:caller@host5.example.net;lr;name=valueA"))


def test_escnull() -> None:
    """§3.1.1.4: an escaped NUL ends nothing."""
    message = valid_request(
        wire(
            """
REGISTER sip:example.com SIP/2.0
To: sip:null-%00-null@example.com
From: sip:null-%00-null@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0
"""
        )
    )
    assert str(message.to.uri.aor) == "sip:null-%00-null@example.com"
    one, two = (parse_name_addr(value).uri for value in message.values("contact"))
    assert not equivalent(one, two)
    assert one.aor != two.aor


def test_esc02() -> None:
    """§3.1.1.5: outside of URIs a % is only a %."""
    message = valid_request(
        wire(
            """
RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:resource@example.com>
From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:alias1@host1.example.com>
C%6Fntact: <sip:alias2@host2.example.com>
Contact: <sip:alias3@host3.example.com>
l: 0
"""
        )
    )
    assert message.method == "RE%47IST%45R"
    assert message.to.display == message.from_.display == '"%Z%45"'
    assert message.via.branch == "z9hG4bK209%fzsnel234"
    assert message.values("contact") == ["<sip:alias1@host1.example.com>", "<sip:alias3@host3.example.com>"]


def test_lwsdisp() -> None:
    """§3.1.1.6: no space before the bracket."""
    message = valid_request(
        wire(
            """
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: caller<sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.1234abcd@funky.example.com
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw
l: 0
"""
        )
    )
    assert (message.from_.display, message.from_.uri_text) == ("caller", "sip:caller@example.com")


def test_longreq() -> None:
    """§3.1.1.7: long names and values, 34 Vias."""
    long, name, caller = "long" * 20, "name" * 25, "amazinglylongcallername" * 5
    spellings = ["Via:", "v:", "V:", "ViA:", "VIA:", "vIa:", "V :", "v  :", "Via  :"]
    vias = "\n".join(
        f"{spellings[number % len(spellings)]} SIP/2.0/TCP sip{number}.example.com" for number in range(33, 0, -1)
    )
    message = valid_request(
        wire(
            f"""
INVITE sip:user@example.com SIP/2.0
To: "I have a user name of {"extreme" * 10} proportion"<sip:user@example.com:6000
 ;unknownparam1=very{long}value
 ;longparam{name}=shortvalue
 ;very{long}ParameterNameWithNoValue>
F: sip:{caller}@example.net;tag=12{"982" * 50}424
 ;unknownheaderparam{name}=unknowheaderparam{"value" * 15};unknownValueless{"paramname" * 10}
Call-ID: longreq.one{"really" * 20}longcallid
CSeq: 3882340 INVITE
Unknown-{"Long" * 20}-Name: unknown-{long}-value; unknown-{long}-parameter-name = unknown-{long}-parameter-value
{vias}
Via: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=very{"long" * 50}branchvalue
Max-Forwards: 70
Contact: <sip:{caller}@host5.example.net>
Content-Type: application/sdp
l: LENGTH
""".replace("\n ;", ";"),  # allOneLine of the RFC
            SDP,
        )
    )
    assert message.to.display == f'"I have a user name of {"extreme" * 10} proportion"'
    assert message.to.uri.param("unknownparam1") == f"very{long}value"
    assert message.to.uri.param(f"longparam{name}") == "shortvalue"
    assert message.to.uri.param(f"very{long}parameternamewithnovalue") == ""
    assert message.from_.uri.user == caller
    assert message.from_.tag == f"12{'982' * 50}424"
    assert message.call_id == f"longreq.one{'really' * 20}longcallid"
    hosts = [parse_via(value).host for value in message.values("via")]
    assert hosts == [*(f"sip{number}.example.com" for number in range(33, 0, -1)), "host.example.com"]
    assert parse_via(message.values("via")[-1]).branch == f"very{'long' * 50}branchvalue"


DBLREQ = wire(
    """
REGISTER sip:example.com SIP/2.0
To: sip:j.user@example.com
From: sip:j.user@example.com;tag=43251j3j324
Max-Forwards: 8
I: dblreq.0ha0isndaksdj99sdfafnl3lk233412
Contact: sip:j.user@host.example.com
CSeq: 8 REGISTER
Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492
Content-Length: 0
"""
)
SECOND = wire(
    """
INVITE sip:joe@example.com SIP/2.0
t: sip:joe@example.com
From: sip:caller@example.net;tag=141334
Max-Forwards: 8
Call-ID: dblreq.0ha0isnda977644900765@192.0.2.15
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw380234
Content-Type: application/sdp
Content-Length: LENGTH
""",
    SDP,
)


def test_dblreq() -> None:
    """§3.1.1.8: octets behind the body are discarded in a datagram, and the next message in a stream."""
    message = parse_message(DBLREQ + b"\r\n" + SECOND)
    assert message.to_bytes() == DBLREQ
    events = StreamParser().feed(DBLREQ + b"\r\n" + SECOND)
    assert [event.method for event in events if isinstance(event, Request)] == ["REGISTER", "INVITE"]


def test_semiuri() -> None:
    """§3.1.1.9: a semicolon in the user part begins no parameter."""
    message = valid_request(
        wire(
            """
OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.0ha0isndaksdj
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0
"""
        )
    )
    assert (message.uri.user, message.uri.params) == ("user;par=u%40example.net", ())
    assert [parse_media_type(value).subtype for value in message.values("accept")] == [
        "sdp",
        "pkcs7-mime",
        "mixed",
        "signed",
        "sip",
        "sipfrag",
    ]


def test_transports() -> None:
    """§3.1.1.10: transports that nobody knows."""
    message = valid_request(
        wire(
            """
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.kijh4akdnaqjkwendsasfdj
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0
"""
        )
    )
    transports = [parse_via(value).transport for value in message.values("via")]
    assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_mpart01() -> None:
    """§3.1.1.11: a MESSAGE with a body of two parts, one of them binary."""
    part = b"--7a9cbec02ceef655\r\nContent-Type: "
    body = part + b"text/plain\r\n\r\nHello\r\n" + part + b"application/octet-stream\r\n\r\n" + bytes(range(256))
    body += b"\r\n--7a9cbec02ceef655--\r\n"
    message = valid_request(
        wire(
            """
MESSAGE sip:kumiko@example.org SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport
Max-Forwards: 70
Route: <sip:127.0.0.1:5080>
Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuLIK0YWVKZhKv9Mj8UeXqkMVbnVq37CD+813gvYjcBUaZngQmXc9WNZSDN
Contact: <sip:fluffy@127.0.0.1:5070>
To: <sip:kumiko@example.org>
From: <sip:fluffy@example.com>;tag=2fb0dcc9
Call-ID: 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..
CSeq: 1 MESSAGE
Content-Transfer-Encoding: binary
Content-Type: multipart/mixed;boundary=7a9cbec02ceef655
Date: Sat, 15 Oct 2005 04:44:56 GMT
User-Agent: SIPimp.org/0.2.5 (curses)
Content-Length: LENGTH
""",
            body,
        )
    )
    assert message.body == body
    media = parse_media_type(message.get("content-type") or "")
    assert (media.essence, media.param("boundary")) == ("multipart/mixed", "7a9cbec02ceef655")
    assert parse_date(message.get("date") or "") == 1_129_351_496


RESPONSE = """
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: noreason.asndj203insdf99223ndf
CSeq: 35 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>
"""


@pytest.mark.parametrize(
    ("status", "reason"),
    [(200, "= 2**3 * 5**2 но сто девяносто девять - простое"), (100, "")],
    ids=["unreason", "noreason"],
)
def test_reason(status: int, reason: str) -> None:
    """§3.1.1.12 and §3.1.1.13: an unusual reason phrase, and an empty one."""
    message = valid(wire(f"SIP/2.0 {status} {reason}{RESPONSE}"))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (status, reason)


# -- messages that are refused


def verdict(data: bytes) -> SipError | None:
    """What a server has against a request."""
    try:
        message = parse_message(data)
        assert isinstance(message, Request)
        check_request(message)
    except SipError as error:
        return error
    return None


HEADERS = {
    "To": "sip:j.user@example.com",
    "From": "sip:caller@example.net;tag=134161461246",
    "Max-Forwards": "7",
    "Call-ID": "0ha0isndaksdjasdf3234nas",
    "CSeq": "8 INVITE",
    "Via": "SIP/2.0/UDP 192.0.2.15;branch=z9hG4bKkdjuw",
    "Contact": "<sip:caller@host5.example.net>",
    "Content-Type": "application/sdp",
    "Content-Length": str(len(SDP)),
}


def request(start: str = "INVITE sip:user@example.com SIP/2.0", more: str = "", **changes: str | None) -> bytes:
    """The frame of most of the messages, with that one thing in it that matters."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [start, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return wire("\n".join(lines) + more, SDP)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(request(Via="SIP/2.0/UDP 192.0.2.15;;,;,,", Contact='"Joe" <sip:joe@example.org>;;;;'), 400,
                     id="3.1.2.1-badinv01"),
        pytest.param(request(Content_Length="9999"), 400, id="3.1.2.2-clerr"),
        pytest.param(request(Content_Length="-999"), 400, id="3.1.2.3-ncl"),
        pytest.param(request(CSeq="36893488147419103232 INVITE", Max_Forwards="300"), 400, id="3.1.2.4-scalar02"),
        pytest.param(request(To='"Mr. J. User <sip:j.user@example.com>'), 400, id="3.1.2.6-quotbal"),
        pytest.param(request("INVITE <sip:user@example.com> SIP/2.0"), 400, id="3.1.2.7-ltgtruri"),
        pytest.param(request("INVITE sip:user@example.com; lr SIP/2.0"), 400, id="3.1.2.8-lwsruri"),
        pytest.param(request("INVITE  sip:user@example.com  SIP/2.0"), 400, id="3.1.2.9-lwsstart"),
        pytest.param(request("INVITE sip:user@example.com SIP/2.0  "), 400, id="3.1.2.10-trws"),
        pytest.param(request(From="Bell, Alexander <sip:a.g.bell@example.com>;tag=43"), 400, id="3.1.2.15-baddn"),
        pytest.param(request("INVITE sip:t.watson@example.org SIP/7.0", Via="SIP/7.0/UDP c.example.com"), 505,
                     id="3.1.2.16-badvers"),
        pytest.param(request("OPTIONS sip:user@example.com SIP/2.0"), 400, id="3.1.2.17-mismatch01"),
        # "501 or 400"
        pytest.param(request("NEWMETHOD sip:user@example.com SIP/2.0"), 400, id="3.1.2.18-mismatch02"),
        pytest.param(request(Call_ID=None, From=None, To=None), 400, id="3.3.1-insuf"),
        pytest.param(
            request(more="\nCSeq: 59 INVITE\nCall-ID: multi01.98asdh@192.0.2.2\nTo: sip:other@example.net"
                         "\nFrom: sip:caller@example.net;tag=2923420123\nMax-Forwards: 5"),
            400, id="3.3.8-multi01"),
        pytest.param(request(more="\nContent-Length: 5"), 400, id="3.3.9-mcl01"),
    ],
)  # fmt: skip
def test_refused(data: bytes, status: int) -> None:
    assert data.replace(b"\r\n\r\n", b"") != request().replace(b"\r\n\r\n", b"")
    error = verdict(data)
    assert error is not None
    assert error.status == status
    assert error.request is not None
    response = parse_message(error.request.response(status, to_tag="t").to_bytes())
    assert isinstance(response, Response)
    assert response.status == status


def test_the_frame_is_good() -> None:
    assert verdict(request()) is None


@pytest.mark.parametrize(
    "start",
    ["SIP/2.0 4294967301 better not break the receiver", "SIP/2.0 699999 x", "SIP/2.0 0200 x"],
)
def test_bigcode(start: str) -> None:
    """§3.1.2.19: no such response; it is dropped, as nobody can be answered."""
    with pytest.raises(SipError) as caught:
        parse_message(wire(start + RESPONSE))
    assert caught.value.request is None


def test_scalarlg() -> None:
    """§3.1.2.5: a response with a CSeq that nobody can have sent matches nothing."""
    response = RESPONSE.replace("35 INVITE", "9292394834772304023312 OPTIONS")
    response += "Retry-After: 949302838503028349304023988"
    message = parse_message(wire("SIP/2.0 503 Service Unavailable" + response))
    with pytest.raises(SipError):
        _ = message.cseq
    assert parse_number(message.get("retry-after") or "", "Retry-After") == 2**32 - 1


@pytest.mark.parametrize("length", ["\nContent-Length: 5", "\nl: 0"])
def test_mcl01_over_a_stream(length: str) -> None:
    """§3.3.9: where two lengths differ, the end of the message is not known."""
    parser = StreamParser()
    (event,) = parser.feed(request(more=length) + SECOND)
    assert isinstance(event, SipError)
    assert (event.status, parser.broken) == (400, True)


# -- messages that are odd, and that the RFC lets a liberal element take


def test_scalar02_expires() -> None:
    """§3.1.2.4: expiry values that are too large count as large."""
    assert parse_number("1" + "0" * 100, "Expires") == 2**32 - 1
    assert parse_number("280297596632815", "expires") == 2**32 - 1


def test_escruri() -> None:
    """§3.1.2.11: headers in the Request-URI stay in the URI and become none of the request's."""
    message = valid_request(request("INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"))
    assert message.uri.headers == "Route=%3Csip:example.com%3E"
    assert message.get("route") is None
    assert str(message.uri.aor) == "sip:user@example.com"


def test_baddate() -> None:
    """§3.1.2.12: the zone is wrong, but known."""
    message = valid_request(request(Date="Fri, 01 Jan 2010 16:00:00 EST"))
    assert parse_date(message.get("date") or "") == 1_262_379_600


def test_regbadct() -> None:
    """§3.1.2.13: the brackets are missing, but there is only one way to understand it."""
    address = parse_name_addr("sip:user@example.com?Route=%3Csip:sip.example.com%3E")
    assert address.uri.headers == "Route=%3Csip:sip.example.com%3E"
    assert str(address.uri.aor) == "sip:user@example.com"


def test_badaspec() -> None:
    """§3.1.2.14: spaces inside the brackets are ignored."""
    message = valid_request(request(To='"Watson, Thomas" < sip:t.watson@example.org >'))
    assert (message.to.display, message.to.uri_text) == ('"Watson, Thomas"', "sip:t.watson@example.org")


# -- §3.2 to §3.4: well-formed; what they mean is for others to judge


def test_badbranch() -> None:
    """§3.2.1."""
    assert valid_request(request(Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")).via.branch == "z9hG4bK"


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("nobodyKnowsThisScheme:totallyopaquecontent", "nobodyknowsthisscheme"),
        ("soap.beep://192.0.2.103:3002", "soap.beep"),
    ],
    ids=["3.3.2-unkscm", "3.3.3-novelsc"],
)
def test_scheme_of_the_request_uri(uri: str, scheme: str) -> None:
    message = valid_request(request(f"INVITE {uri} SIP/2.0"))
    assert (message.uri.scheme, message.uri.aor, message.uri_text) == (scheme, None, uri)


def test_unksm2() -> None:
    """§3.3.4: unknown schemes in header fields."""
    message = valid_request(
        request(To="isbn:2983792873", From="<http://www.example.com>;tag=3234233", Contact="<name:John_Smith>")
    )
    assert (message.to.uri.scheme, message.to.uri.aor) == ("isbn", None)
    assert (message.from_.uri.scheme, message.from_.tag) == ("http", "3234233")
    assert parse_name_addr(message.values("contact")[0]).uri.scheme == "name"


@pytest.mark.parametrize(
    ("name", "value", "values"),
    [
        pytest.param("Require", "nothingSupportsThis, nothingSupportsThisEither",
                     ["nothingSupportsThis", "nothingSupportsThisEither"], id="3.3.5-bext01"),
        pytest.param("Proxy-Require", "noProxiesSupportThis, norDoAnyProxiesSupportThis",
                     ["noProxiesSupportThis", "norDoAnyProxiesSupportThis"], id="3.3.5-bext01-proxy"),
        pytest.param("Authorization", "NoOneKnowsThisScheme opaque-data=here",
                     ["NoOneKnowsThisScheme opaque-data=here"], id="3.3.7-regaut01"),
        pytest.param("Accept", "text/nobodyKnowsThis", ["text/nobodyKnowsThis"], id="3.3.15-sdp01"),
    ],
)  # fmt: skip
def test_lists(name: str, value: str, values: list[str]) -> None:
    assert valid_request(request(**{name: value})).values(name.lower()) == values


def test_invut() -> None:
    """§3.3.6: an unknown Content-Type."""
    media = parse_media_type(valid_request(request(Content_Type="application/unknownformat")).get("content-type") or "")
    assert media.essence == "application/unknownformat"


def test_bcast() -> None:
    """§3.3.10: a response that came with a second Via of the broadcast address."""
    message = valid(wire("SIP/2.0 200 OK" + RESPONSE.replace("Call-ID", "Via: SIP/2.0/UDP 255.255.255.255\nCall-ID")))
    assert [parse_via(value).host for value in message.values("via")] == ["192.0.2.105", "255.255.255.255"]


def test_zeromf() -> None:
    """§3.3.11: legal, and the end of the way."""
    assert valid_request(request(Max_Forwards="0")).get("max-forwards") == "0"


@pytest.mark.parametrize(
    ("contact", "header_params", "uri_params", "uri_headers"),
    [
        pytest.param("sip:+19725552222@gw1.example.net;unknownparam", (("unknownparam", None),), (), None,
                     id="3.3.12-cparam01"),
        pytest.param("<sip:+19725552222@gw1.example.net;unknownparam>", (), (("unknownparam", None),), None,
                     id="3.3.13-cparam02"),
        pytest.param("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>", (), (),
                     "Route=%3Csip:sip.example.com%3E", id="3.3.14-regescrt"),
    ],
)  # fmt: skip
def test_contact(
    contact: str,
    header_params: tuple[tuple[str, str | None], ...],
    uri_params: tuple[tuple[str, str | None], ...],
    uri_headers: str | None,
) -> None:
    (value,) = valid_request(request(Contact=contact)).values("contact")
    address = parse_name_addr(value)
    assert (address.params, address.uri.params, address.uri.headers) == (header_params, uri_params, uri_headers)


def test_inv2543() -> None:
    """§3.4.1: no branch, no From tag, no Content-Length, no Max-Forwards."""
    message = valid_request(
        wire(
            """
INVITE sip:UserB@example.com SIP/2.0
Via: SIP/2.0/UDP iftgw.example.com
From: <sip:+13035551111@ift.client.example.net;user=phone>
Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>
To: sip:+16505552222@ss1.example.net;user=phone
Call-ID: inv2543.1717@ift.client.example.com
CSeq: 56 INVITE
Content-Type: application/sdp
""",
            SDP,
        )
    )
    assert (message.via.branch, message.from_.tag, message.get("max-forwards")) == (None, None, None)
    assert message.from_.uri.param("user") == "phone"
    assert (message.to.uri.param("user"), find_param(message.to.params, "user")) == (None, "phone")
    assert message.body == SDP
