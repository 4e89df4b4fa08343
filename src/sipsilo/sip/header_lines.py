"""Header lines as operators, scripts and other programs write them: `Name: value`, each with CRLF at its end."""

import re

from sipsilo.sip.headers import is_token

WRITTEN_BY_THE_SENDER = frozenset(
    ("via", "max-forwards", "from", "to", "call-id", "cseq", "date", "content-type", "content-length")
)
"""Headers that whoever sends a MESSAGE writes, once; they cannot be added as lines."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def parse_header_lines(text: str) -> list[tuple[str, str]]:
    """Names and values of whole lines; the end of the last one may be missing. Raises ValueError."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    return [_parse_line(line) for line in lines]


def _parse_line(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name = name.rstrip(" \t")
    if not colon or not is_token(name) or _CONTROL.search(value):
        raise ValueError(f"{line!r} is no header line such as 'Name: value'")
    return name, value.strip(" \t")


def stored_header_lines(text: str) -> list[tuple[str, str]]:
    """The same of what a database holds, which other programs write too: what is no header line is left out."""
    found = []
    for line in _LINE_END.split(text):
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if colon and is_token(name):
            found.append((name, value.strip(" \t")))
    return found


def one_line(text: str) -> str:
    """A text that can stand in a header field: what could end the field (RFC 3261 §7.3.1) becomes a space."""
    return _CONTROL.sub(" ", text)
