"""A user agent on PJSIP: python pjsua_process.py TRANSPORT AOR PROXY.

Takes commands as lines of JSON on standard input, {"do": "send", "to": URI, "text": TEXT},
{"do": "typing", "to": URI}, {"do": "leave"}, and prints what happens as lines of JSON.
"""

import json
import os
import select
import sys
from typing import NoReturn

import pjsua2 as pj  # type: ignore[import-untyped]

TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP}


def emit(event: str, **values: object) -> None:
    print(json.dumps({"event": event, **values}), flush=True)  # noqa: T201  its output is its interface


class Account(pj.Account):  # type: ignore[misc]
    """Says what PJSIP calls back for."""

    registered = False

    def onRegState(self, prm: pj.OnRegStateParam) -> None:  # noqa: N802
        self.registered = prm.code // 100 == 2 and prm.expiration > 0
        emit("register", status=prm.code, bound=self.registered)

    def onInstantMessage(self, prm: pj.OnInstantMessageParam) -> None:  # noqa: N802
        emit("message", sender=prm.fromUri, type=prm.contentType, text=prm.msgBody)

    def onInstantMessageStatus(self, prm: pj.OnInstantMessageStatusParam) -> None:  # noqa: N802
        emit("sent", status=prm.code)

    def onTypingIndication(self, prm: pj.OnTypingIndicationParam) -> None:  # noqa: N802
        emit("typing", active=bool(prm.isTyping))


class Process:
    """PJSIP's library in one thread, between its own events and the commands."""

    def __init__(self, transport: str, aor: str, proxy: str) -> None:
        self._buddies: dict[str, pj.Buddy] = {}
        self._endpoint = pj.Endpoint()
        self._endpoint.libCreate()
        settings = pj.EpConfig()
        settings.uaConfig.threadCnt = 0
        settings.uaConfig.mainThreadOnly = True
        settings.logConfig.level = settings.logConfig.consoleLevel = 0
        self._endpoint.libInit(settings)
        socket = pj.TransportConfig()
        socket.boundAddress = "127.0.0.1"
        self._endpoint.transportCreate(TRANSPORTS[transport], socket)
        self._endpoint.libStart()
        self._endpoint.audDevManager().setNullDev()
        account = pj.AccountConfig()
        account.idUri = aor
        account.regConfig.registrarUri = f"sip:{aor.partition('@')[2]}"
        account.sipConfig.proxies.append(proxy)
        self._account = Account()
        self._account.create(account)

    def run(self) -> NoReturn:
        """Serve until told to leave, or until nobody listens any more."""
        commands = b""
        while True:
            self._endpoint.libHandleEvents(10)
            # Read past Python's buffer, into which select() does not see.
            if not select.select([sys.stdin], [], [], 0)[0]:
                continue
            data = os.read(sys.stdin.fileno(), 65_536)
            *lines, commands = (commands + data).split(b"\n")
            for line in lines:
                self._do(json.loads(line))
            if not data:
                self._leave()

    def _do(self, command: dict[str, str]) -> None:
        match command["do"]:
            case "send":
                message = pj.SendInstantMessageParam()
                message.content = command["text"]
                self._buddy(command["to"]).sendInstantMessage(message)
            case "typing":
                indication = pj.SendTypingIndicationParam()
                indication.isTyping = True
                self._buddy(command["to"]).sendTypingIndication(indication)
            case "leave":
                self._leave()

    def _buddy(self, uri: str) -> pj.Buddy:
        if uri not in self._buddies:
            settings = pj.BuddyConfig()
            settings.uri = uri
            self._buddies[uri] = pj.Buddy()
            self._buddies[uri].create(self._account, settings)
        return self._buddies[uri]

    def _leave(self) -> NoReturn:
        self._account.setRegistration(False)
        while self._account.registered:
            self._endpoint.libHandleEvents(10)
        # libDestroy() would wait a second for nothing that matters here.
        os._exit(0)


if __name__ == "__main__":
    Process(*sys.argv[1:]).run()
