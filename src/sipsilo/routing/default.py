"""The built-in route, a script as you could write it: registers, relays to who is there, stores for who is not."""

from sipsilo.routing.request import Request
from sipsilo.routing.script import Script

script = Script()


@script.request_route
async def main(request: Request) -> None:
    """Every request that comes in. What no line here answers is answered 404 or, for other methods, 405."""
    if not request.process_max_forwards(70):
        await request.reply(483, "Too Many Hops")
    elif request.method == "REGISTER":
        if await request.save():
            await request.m_dump()
    elif request.method == "OPTIONS":
        await request.options_reply()
    elif request.method == "MESSAGE":
        await deliver_or_store(request)


async def deliver_or_store(request: Request) -> None:
    """A MESSAGE: relayed to its recipient's phones, stored when that fails or when none is there."""
    if not request.is_myself() or request.header("Route") is not None:
        await request.reply(404, "Not Found")  # we are no relay for everybody
    elif await request.lookup():
        if not request.is_composing:
            request.t_on_failure("undelivered")
        await request.relay()
    else:
        await store(request)


@script.failure_route("undelivered")
async def undelivered(request: Request) -> None:
    """No phone has taken it. What is the sender's business goes back as it came; the rest is kept."""
    if request.reply_status in (401, 407) or request.reply_status >= 600:
        return
    await store(request)


async def store(request: Request) -> None:
    """Keep it for the user that the sender has asked for."""
    stored = await request.m_store(request.original_uri)
    await request.reply(stored.status, stored.reason, stored.headers)
