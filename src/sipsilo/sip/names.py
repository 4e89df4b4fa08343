"""Header field names: compact forms and one spelling for comparison (RFC 3261 §7.3.3, §20)."""

# https://www.iana.org/assignments/sip-parameters: the registered compact forms
_COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
_USUAL = (
    "Accept Allow Call-ID Contact Content-Disposition Content-Encoding Content-Language Content-Length "
    "Content-Type CSeq Date Expires From Max-Forwards Path Privacy Proxy-Require Reason Record-Route Require "
    "Route Subject Supported To User-Agent Via"
).split()
KNOWN: dict[str, str] = (
    {name: name.lower() for name in _USUAL} | _COMPACT | {key.upper(): name for key, name in _COMPACT.items()}
)
"""The spellings that need no work."""


def canonical_name(name: str) -> str:
    """The lower-case long form of a header name."""
    known = KNOWN.get(name)
    if known is None:
        known = name.lower()
        known = _COMPACT.get(known, known)
    return known
