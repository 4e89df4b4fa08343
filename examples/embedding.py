"""A program of your own with sipsilo inside: it keeps a message for Bob and brings it to him when he comes.

    python examples/embedding.py

The server runs in this program's event loop. It leaves signals, logging and the loop's settings to the program.
"""

import asyncio
import tempfile
from pathlib import Path

import sipsilo
from sipsilo.config import Listen, Msilo, Server, Settings
from sipsilo.routing import Request, Script

script = Script()
kept: list[str] = []
"""What the routes tell the rest of the program."""


@script.request_route
async def main(request: Request) -> None:
    if request.method == "REGISTER":
        if await request.save():
            await request.m_dump()
    elif request.method == "MESSAGE":
        stored = await request.m_store()
        if stored:
            kept.append(request.to_uri)
        await request.reply(stored.status, stored.reason, stored.headers)


class Phone(asyncio.DatagramProtocol):
    """As little of a SIP phone as will do."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        host, port = transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: object) -> None:
        text = data.decode()
        if text.startswith("MESSAGE"):
            lines = text.partition("\r\n\r\n")[0].split("\r\n")
            copied = [line for line in lines if line.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
            self.send("\r\n".join(["SIP/2.0 200 OK", *copied, "Content-Length: 0", "", ""]))
        self.heard.put_nowait(text)

    def send(self, text: str) -> None:
        self.transport.sendto(text.encode())

    async def ask(self, method: str, header: str, body: str = "") -> str:
        """Send a request about Bob; the first line of the answer."""
        lines = [
            f"{method} sip:bob@example.org SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address};branch=z9hG4bK{method};rport",
            "Max-Forwards: 70",
            "From: <sip:bob@example.org>;tag=1",
            "To: <sip:bob@example.org>",
            f"Call-ID: {method}",
            f"CSeq: 1 {method}",
            header,
            f"Content-Length: {len(body)}",
        ]
        self.send("\r\n".join([*lines, "", body]))
        return (await self.heard.get()).partition("\r\n")[0]


async def host_program(folder: Path) -> None:
    settings = Settings(
        server=Server(listen=(Listen("udp", "127.0.0.1", 0),), domains=("example.org",)),
        msilo=Msilo(db_url=f"sqlite:///{folder / 'silo.db'}"),
    )
    async with sipsilo.Server(settings, script) as server:
        print("listening on", *server.listening)
        port = int(server.listening[0].rpartition(":")[2])
        transport, phone = await asyncio.get_running_loop().create_datagram_endpoint(
            Phone, remote_addr=("127.0.0.1", port)
        )
        print("MESSAGE: ", await phone.ask("MESSAGE", "Content-Type: text/plain", "See you at eight?"))
        print("kept for:", *kept)
        print("REGISTER:", await phone.ask("REGISTER", f"Contact: <sip:bob@{phone.address}>"))
        print("Bob gets:", (await phone.heard.get()).rpartition("\r\n")[2])
        transport.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(host_program(Path(folder)))
