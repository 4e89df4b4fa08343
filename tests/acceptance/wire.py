"""SIP text for the tests, made and read by plain string work: nothing here knows sipsilo's own parser."""

from dataclasses import dataclass

# The compact forms (RFC 3261 §7.3.3) that the programs of these tests may use.
_LONG = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}


@dataclass(frozen=True, slots=True)
class Sip:
    """One request or response as it came."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status(self) -> int:
        """The status of a response; 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """The method of a request; of a response, the one in its CSeq."""
        return self.header("cseq").split()[1] if self.status else self.start.split(" ")[0]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def branch(self) -> str:
        """The branch of the topmost Via."""
        return parameter(self.header("via"), "branch")

    @property
    def user(self) -> str:
        """The user part of the To URI."""
        return self.header("to").partition("sip:")[2].partition("@")[0]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str:
        """The first value of a header, which must be there."""
        return self.all(name)[0]

    def answer(self, status: int, tag: str, *extra: str) -> bytes:
        """A response to this request (RFC 3261 §8.2.6); `extra` are further header lines."""
        lines = [f"SIP/2.0 {status} Status"]
        lines += [f"Via: {value}" for value in self.all("via")]
        lines += [f"From: {self.header('from')}", f"To: {self.header('to')};tag={tag}"]
        lines += [f"Call-ID: {self.header('call-id')}", f"CSeq: {self.header('cseq')}"]
        lines += [*extra, "Content-Length: 0", "", ""]
        return "\r\n".join(lines).encode()


def parse(data: bytes) -> Sip:
    """Read one whole message."""
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        name = name.strip().lower()
        headers.append((_LONG.get(name, name), value.strip()))
    return Sip(start, tuple(headers), body)


def parameter(value: str, name: str) -> str:
    """A `;name=value` parameter of a header; empty where it is missing."""
    for part in value.split(";")[1:]:
        key, _, text = part.partition("=")
        if key.strip() == name:
            return text.strip()
    return ""


def split_stream(buffer: bytearray) -> list[Sip]:
    """Take the whole messages, and the line ends between them, out of what a connection has brought."""
    messages: list[Sip] = []
    while True:
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return messages
        head = parse(bytes(buffer[: end + 4]))
        size = end + 4 + int(head.header("content-length"))
        if len(buffer) < size:
            return messages
        messages.append(parse(bytes(buffer[:size])))
        del buffer[:size]
