"""A context that is open from the startup of an ASGI application to its shutdown.

The specification: https://asgi.readthedocs.io/en/latest/specs/lifespan.html.
"""

import logging
from contextlib import AbstractAsyncContextManager
from typing import Final

from peerage.integrations.asgi.messages import App, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_STARTED: Final = "lifespan.startup.complete"
_FAILED: Final = "lifespan.startup.failed"


async def run_lifespan(
    app: App, scope: Scope, receive: Receive, send: Send, serving: AbstractAsyncContextManager[None]
) -> None:
    """Carry out the lifespan of *app*, and enter *serving* once it has started, until it has shut down.

    An application that knows no lifespan is treated as one that has nothing to do in it.
    """
    await _Lifespan(receive, send, serving).run(app, scope)


class _Lifespan:
    def __init__(self, receive: Receive, send: Send, serving: AbstractAsyncContextManager[None]) -> None:
        self._receive = receive
        self._send = send
        self._serving = serving
        self._entered = False
        # Whether the application has received the event of its startup, and answered it.
        self._received = False
        self._answered = False

    async def run(self, app: App, scope: Scope) -> None:
        try:
            try:
                await app(scope, self._pass_in, self._pass_out)
            except Exception:
                if self._answered:
                    raise
                log.debug("The application knows no lifespan", exc_info=True)
            if not self._answered:
                await self._take_its_place()
        finally:
            await self._leave()

    async def _pass_in(self) -> Message:
        self._received = True
        return await self._receive()

    async def _pass_out(self, message: Message) -> None:
        if not message["type"].startswith("lifespan."):
            raise ValueError(f"An application answers its lifespan with {message['type']!r}.")
        if message["type"] == _STARTED:
            await self._serving.__aenter__()
            self._entered = True
        elif message["type"] != _FAILED:
            # Before the server learns that the shutdown is complete, because it ends the process then.
            await self._leave()
        self._answered = True
        await self._send(message)

    async def _take_its_place(self) -> None:
        if not self._received:
            await self._receive()
        await self._pass_out({"type": _STARTED})
        await self._receive()
        await self._pass_out({"type": "lifespan.shutdown.complete"})

    async def _leave(self) -> None:
        if self._entered:
            self._entered = False
            await self._serving.__aexit__(None, None, None)
