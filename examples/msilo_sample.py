"""The sample script of OpenSIPS' msilo guide (Example 1.29), as a routing script for sipsilo.

    sipsilo run --script examples/msilo_sample.py --domain example.org

What the original sets with modparam are settings here (sipsilo.toml, sections [registrar], [proxy] and [msilo], with
the same names); listening and loading modules need no lines at all.
"""

from sipsilo.routing import Request, Script

script = Script()


@script.request_route
async def main(request: Request) -> None:
    if not request.process_max_forwards(10):
        await request.reply(483, "Too Many Hops", stateless=True)
        return

    if request.is_myself():
        # for testing purposes, simply okay all REGISTERs
        if request.method == "REGISTER":
            await request.save()
            request.log("REGISTER received -> dumping messages with MSILO")

            # MSILO - dumping user's offline messages
            if await request.m_dump():
                request.log("MSILO: offline messages dumped - if they were")
            else:
                request.log("MSILO: no offline messages dumped")
            return

        # domestic SIP destinations are handled using our location service
        if not await request.lookup():
            if not request.t_newtran():
                return
            # we do not care about anything else but MESSAGEs
            if request.method != "MESSAGE":
                await request.reply(404, "Not Found")
                return
            request.log("MESSAGE received -> storing using MSILO")
            # MSILO - storing as offline message
            await store(request, request.uri)
            return

        # if the downstream UA does not support MESSAGE requests
        # go to failure_route("1")
        request.t_on_failure("1")
        await request.relay()
        return

    # forward anything else (a server that can be reached from outside should ask first for whom)
    await request.relay()


@script.failure_route("1")
async def downstream_failed(request: Request) -> None:
    # forwarding failed -- check if the request was a MESSAGE
    if request.method != "MESSAGE":
        return
    request.log("MSILO: the downstream UA doesn't support MESSAGEs")
    # we have changed the Request-URI to the contact address, ignore it now
    await store(request, request.original_uri)


async def store(request: Request, owner: str) -> None:
    stored = await request.m_store(owner)
    if stored:
        request.log("MSILO: offline message stored")
        await request.reply(202, "Accepted")
    else:
        request.log("MSILO: offline message NOT stored")
        # the original says 503 to all; this tells the sender what was wrong, and when to try again
        await request.reply(stored.status, stored.reason, stored.headers)
