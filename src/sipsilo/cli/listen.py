"""`sipsilo listen`: a user who registers and reads messages."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Annotated

import typer
import uvloop

from sipsilo.cli.agent import (
    Agent,
    AgentError,
    Transport,
    build_request,
    find_next_hop,
    new_token,
    open_agent,
    read_aor,
)
from sipsilo.cli.options import ProxyOption, TransportOption, fail
from sipsilo.endpoint import Incoming
from sipsilo.sip.errors import SipError
from sipsilo.sip.headers import parse_name_addr, parse_number
from sipsilo.sip.message import Request, Response
from sipsilo.sip.uri import Uri

EXPIRES = 3600
"""Seconds that we ask for."""
REFRESH_AT = 0.8
"""The part of the granted time after which we register again."""
GOODBYE = 5.0
"""Seconds that the answer to the last REGISTER may take."""
LOOK_AROUND = 1.0
"""Seconds between two looks at the connection and the time to register again."""


def listen(
    aor: Annotated[str, typer.Argument(metavar="URI", help="Whom to register, as in sip:bob@localhost.")],
    proxy: ProxyOption = None,
    transport: TransportOption = None,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after so many messages.", show_default=False)
    ] = None,
) -> None:
    """Register a user and print the messages that arrive, until Ctrl-C.

    Each message is printed on stdout and then answered with 200 OK; what the registration is answered goes to
    stderr. At the end it unregisters. The exit code is 1 when the registration is refused or nobody answers.

    **Examples**

    ```console
    $ sipsilo listen sip:bob@localhost
    $ sipsilo listen sip:bob@example.org --proxy "sip:127.0.0.1:5070;transport=tcp"
    $ sipsilo listen sip:bob@localhost --count 1
    ```
    """
    try:
        uvloop.run(_listen(read_aor(aor), proxy, transport, count))
    except AgentError as error:
        fail(str(error))


async def _listen(aor: Uri, proxy: str | None, transport: Transport | None, count: int | None) -> None:
    hop = await find_next_hop(aor, proxy, transport)
    inbox = _Inbox(count)
    async with open_agent(hop, inbox.receive) as agent:
        _end_on_signal(inbox.full)
        registration = _Registration(agent, aor, hop.transport)
        await registration.keep(inbox.full)
        await registration.end()
    if inbox.failure is not None:
        raise inbox.failure


def _end_on_signal(end: asyncio.Event) -> None:
    """Set `end` at the first Ctrl-C or SIGTERM; the next one ends the program without another word."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        end.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


async def _unless(end: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Wait for some work, but only until `end` is set."""
    task = asyncio.ensure_future(work)
    ending = asyncio.ensure_future(end.wait())
    await asyncio.wait((task, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if task.done():
        task.result()
    else:
        task.cancel()


class _Inbox:
    """Prints the MESSAGEs that come; `full` is set when there have been enough."""

    def __init__(self, count: int | None) -> None:
        self.full = asyncio.Event()
        self.failure: AgentError | None = None
        self._count = count
        self._received = 0

    async def receive(self, incoming: Incoming) -> None:
        """Answer a request: 200 once a MESSAGE is printed."""
        if incoming.request.method != "MESSAGE":
            incoming.reply(405, headers=[("Allow", "MESSAGE")])
        elif self.full.is_set():
            incoming.reply(480)
        elif self._print(incoming.request.body):
            incoming.reply(200)
        else:
            incoming.reply(500)

    def _print(self, body: bytes) -> bool:
        text = body.decode("utf-8", "replace")
        if sys.stdout.isatty():
            # A stranger's message must not drive the terminal.
            text = "".join(
                char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text
            )
        try:
            print(text, flush=True)
        except OSError as error:
            self.failure = AgentError(f"cannot print: {error.strerror}")
            self.full.set()
            return False
        self._received += 1
        if self._received == self._count:
            self.full.set()
        return True


class _Registration:
    """One binding (§10.2): made, refreshed, and taken away at the end."""

    def __init__(self, agent: Agent, aor: Uri, transport: Transport) -> None:
        self._agent = agent
        self._aor = aor
        suffix = ";transport=tcp" if transport == "tcp" else ""
        self._contact = f"sip:{aor.user}@{agent.flow.local}{suffix}"
        self._call_id = new_token()
        self._number = 0
        self._refresh = 0.0

    async def keep(self, end: asyncio.Event) -> None:
        """Register, and again in time, until `end` is set. Raises AgentError."""
        loop = asyncio.get_running_loop()
        while not end.is_set():
            if self._agent.flow.closed:
                raise AgentError("connection lost")
            if loop.time() >= self._refresh:
                await _unless(end, self._make())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), LOOK_AROUND)

    async def _make(self) -> None:
        response = await self._agent.ask(self._request(EXPIRES))
        granted = self._granted(response)
        seconds = f", for {granted} s" if response.status < 300 else ""
        print(f"REGISTER {self._aor}: {response.status} {response.reason}{seconds}", file=sys.stderr, flush=True)
        if response.status >= 300:
            raise AgentError(f"{self._aor} is not registered")
        self._refresh = asyncio.get_running_loop().time() + granted * REFRESH_AT

    async def end(self) -> None:
        """Take the binding away. Raises AgentError."""
        try:
            response = await asyncio.wait_for(self._agent.ask(self._request(0)), GOODBYE)
        except TimeoutError:
            raise AgentError(f"{self._aor}: no answer when unregistering") from None
        if response.status >= 300:
            raise AgentError(f"{self._aor}: not unregistered: {response.status} {response.reason}")

    def _request(self, expires: int) -> Request:
        # §10.2: the same Call-ID and a higher CSeq each time; the Request-URI has no user part.
        self._number += 1
        headers = [("Contact", f"<{self._contact}>"), ("Expires", str(expires)), ("Allow", "MESSAGE")]
        return build_request(
            "REGISTER",
            f"sip:{self._aor.host}",
            sender=self._aor,
            to=str(self._aor),
            call_id=self._call_id,
            number=self._number,
            headers=headers,
        )

    def _granted(self, response: Response) -> int:
        """§10.2.4: the expires parameter of our contact, else the Expires header, else what we asked for."""
        text = response.get("expires") or str(EXPIRES)
        try:
            for value in response.values("contact"):
                contact = parse_name_addr(value)
                if contact.uri_text == self._contact:
                    text = contact.param("expires") or text
            return max(1, parse_number(text, "Expires"))
        except SipError:
            return EXPIRES
