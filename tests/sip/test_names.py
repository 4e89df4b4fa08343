import pytest

from sipsilo.sip.names import KNOWN, canonical_name


@pytest.mark.parametrize(
    ("compact", "name"),
    [
        # RFC 3261 §7.3.3, §20
        ("c", "content-type"),
        ("e", "content-encoding"),
        ("f", "from"),
        ("i", "call-id"),
        ("k", "supported"),
        ("l", "content-length"),
        ("m", "contact"),
        ("s", "subject"),
        ("t", "to"),
        ("v", "via"),
        # RFC 6665, RFC 3515, RFC 3892, RFC 3841, RFC 4028, RFC 8224
        ("o", "event"),
        ("u", "allow-events"),
        ("r", "refer-to"),
        ("b", "referred-by"),
        ("a", "accept-contact"),
        ("j", "reject-contact"),
        ("d", "request-disposition"),
        ("x", "session-expires"),
        ("y", "identity"),
        ("n", "identity-info"),
    ],
)
def test_compact_form(compact: str, name: str) -> None:
    assert canonical_name(compact) == name
    assert canonical_name(compact.upper()) == name
    assert canonical_name(name) == name


@pytest.mark.parametrize("name", ["Call-ID", "call-id", "CALL-ID", "cAlL-iD"])
def test_case_does_not_matter(name: str) -> None:
    assert canonical_name(name) == "call-id"


@pytest.mark.parametrize("name", ["g", "h", "p", "q", "w", "z", "X-V", "vv", "C%6Fntact"])
def test_other_names_are_kept(name: str) -> None:
    assert canonical_name(name) == name.lower()


def test_the_known_spellings_agree_with_the_rule() -> None:
    assert all(canonical_name(name.swapcase()) == canonical for name, canonical in KNOWN.items())
