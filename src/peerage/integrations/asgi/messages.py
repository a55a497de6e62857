"""What the middlewares need of ASGI 3: its types, headers, refusals, and how far a response is.

The specification: https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from peerage.serving.refusal import SERVER_ERROR, Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
#: An application. Frameworks have types of their own for its scope, ``receive`` and ``send``.
App = Callable[[Any, Any, Any], Awaitable[None]]

START: Final = "http.response.start"

#: The header in which the handshake of a WebSocket names protocols.
_PROTOCOLS: Final = b"sec-websocket-protocol"


def values(scope: Scope, name: str) -> list[str]:
    """Return all values of a header of the request, in their order."""
    wanted = name.lower().encode()
    return [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]


def first(scope: Scope, name: str) -> str | None:
    """Return the first value of a header of the request; None if it has none."""
    found = values(scope, name)
    return found[0] if found else None


def set_protocols(scope: Scope, names: list[str]) -> None:
    """Show the handler of a WebSocket these protocols only."""
    scope["subprotocols"] = names
    # Not every server has them among the headers as well.
    headers = [(key, value) for key, value in scope["headers"] if key != _PROTOCOLS]
    if names and len(headers) < len(scope["headers"]):
        headers.append((_PROTOCOLS, ", ".join(names).encode("latin-1")))
    scope["headers"] = headers


async def refuse(send: Send, refusal: Refusal, kind: str = "http") -> None:
    """Send *refusal* as the answer; *kind* is ``websocket.http`` for a handshake that is refused."""
    body = refusal.text.encode()
    headers = {
        "Content-Type": f"{refusal.content_type}; charset=utf-8",
        "Content-Length": str(len(body)),
        **refusal.headers,
    }
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": f"{kind}.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": f"{kind}.response.body", "body": body})


async def refuse_websocket(
    scope: Scope, receive: Receive, send: Send, refusal: Refusal, *, connected: bool = False
) -> None:
    """Refuse the handshake of a WebSocket; with 403 if the server can't send *refusal*.

    *connected*: whether the application has received the message that the handshake begins with.
    """
    if not connected:
        await receive()
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await refuse(send, refusal, "websocket.http")
    else:
        await send({"type": "websocket.close"})


class Response:
    """Passes the response of an application on to the server, and notes how far it is.

    Frameworks turn an exception of a handler into an answer with status 500, and may raise it again after
    that. If the failure has a meaning here, that answer is replaced.

    Args:
        send: passes a message on to the server.
        refusal_of: returns what to answer instead of 500, given the exception that is being handled if there
            is one; None leaves the answer as it is.
        on_end: called once when the response is complete.
    """

    __slots__ = ("_on_end", "_refusal_of", "_send", "_trailers", "complete", "replaced", "status")

    def __init__(
        self,
        send: Send,
        *,
        refusal_of: Callable[[BaseException | None], Refusal | None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._send = send
        self._refusal_of = refusal_of
        self._on_end = on_end
        self._trailers = False
        self.status: int | None = None
        """The status of the response; None until it begins."""
        self.complete = False
        self.replaced = False
        """Whether a refusal was sent in place of what the application answered."""

    async def send(self, message: Message) -> None:
        """Pass one message on: the ``send`` of the application."""
        if self.replaced:
            return
        if message["type"] == START:
            self.status = message["status"]
            self._trailers = bool(message.get("trailers"))
            if self.status == SERVER_ERROR and self._refusal_of is not None:
                # Most frameworks send their answer from within the ``except`` block.
                refusal = self._refusal_of(sys.exception())
                if refusal is not None:
                    await self.replace(refusal)
                    return
        await self._send(message)
        if self._ends(message):
            self._end()

    async def replace(self, refusal: Refusal) -> None:
        """Answer with *refusal*, and ignore what the application sends from then on."""
        self.replaced = True
        self.status = refusal.status
        await refuse(self._send, refusal)
        self._end()

    def _ends(self, message: Message) -> bool:
        kind = message["type"]
        if kind == "http.response.trailers":
            return not message.get("more_trailers")
        if self._trailers:
            return False
        # A file is sent by extensions of the same specification.
        return kind == "http.response.pathsend" or (
            kind in {"http.response.body", "http.response.zerocopysend"} and not message.get("more_body")
        )

    def _end(self) -> None:
        self.complete = True
        if self._on_end is not None:
            self._on_end()
