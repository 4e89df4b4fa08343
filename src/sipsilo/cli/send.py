"""`sipsilo send`: a MESSAGE by hand."""

from typing import Annotated

import typer
import uvloop

from sipsilo.cli.agent import (
    AgentError,
    Transport,
    build_request,
    find_next_hop,
    new_token,
    open_agent,
    read_aor,
    read_target,
)
from sipsilo.cli.options import ProxyOption, TransportOption, fail
from sipsilo.endpoint import Incoming
from sipsilo.sip.message import Request
from sipsilo.sip.uri import Uri


def send(
    to: Annotated[str, typer.Argument(metavar="URI", help="Whom the message is for, as in sip:bob@localhost.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it says.")],
    sender: Annotated[str, typer.Option("--from", metavar="URI", help="Who sends it, as in sip:alice@localhost.")],
    proxy: ProxyOption = None,
    transport: TransportOption = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Send it so often, one after the other.")] = 1,
) -> None:
    """Send a text message and print what it is answered.

    202 Accepted means that the server keeps it until the recipient is back, 200 OK that it was delivered. The
    exit code is 1 when a message is refused (300 or above) or nobody answers. Above 1300 bytes it goes over
    TCP, unless you say otherwise.

    **Examples**

    ```console
    $ sipsilo send --from sip:alice@localhost sip:bob@localhost "Are you there?"
    $ sipsilo send --from sip:alice@example.org sip:bob@example.org Hello --proxy sip:127.0.0.1:5070
    $ sipsilo send --from sip:alice@localhost sip:bob@localhost Hello --transport tcp --count 100
    ```
    """
    try:
        accepted = uvloop.run(_send(read_target(to), text, read_aor(sender), proxy, transport, count))
    except AgentError as error:
        fail(str(error))
    if not accepted:
        raise typer.Exit(1)


async def _send(to: Uri, text: str, sender: Uri, proxy: str | None, transport: Transport | None, count: int) -> bool:
    """Whether every message got a 2xx."""
    size = len(_message(to, text, sender).to_bytes())
    hop = await find_next_hop(to, proxy, transport, size)
    accepted = True
    async with open_agent(hop, _refuse) as agent:
        for _ in range(count):
            response = await agent.ask(_message(to, text, sender))
            print(f"{response.status} {response.reason}", flush=True)
            accepted = accepted and response.status < 300
    return accepted


def _message(to: Uri, text: str, sender: Uri) -> Request:
    # Bytes of the command line that are no UTF-8 came in as surrogates, and go out as they were.
    body = text.encode("utf-8", "surrogateescape")
    headers = [("Content-Type", "text/plain;charset=UTF-8")]
    return build_request("MESSAGE", str(to), sender=sender, to=str(to), call_id=new_token(), headers=headers, body=body)


async def _refuse(incoming: Incoming) -> None:
    """Nobody reads here what others send."""
    incoming.reply(480)
