"""Authorization for ASGI applications: a request needs a valid token unless its path or handler is open."""

from collections.abc import Collection
from contextlib import suppress

from peerage.auth.verifier import Verifier
from peerage.errors import AccessDeniedError, TokenRefusedError
from peerage.integrations.asgi.messages import (
    App,
    Message,
    Receive,
    Response,
    Scope,
    Send,
    refuse,
    refuse_websocket,
    set_protocols,
    values,
)
from peerage.serving.authorization import (
    authenticate,
    caller,
    current_caller,
    is_open,
    noauth,
    read_token,
    refusal_of,
    require,
    require_superuser,
)
from peerage.serving.refusal import Refusal

__all__ = ["authorize", "caller", "noauth", "require", "require_superuser"]

#: The code with which a WebSocket is closed whose caller isn't allowed (RFC 6455, 7.4.1).
_POLICY_VIOLATION = 1008


def authorize(app: App, verifier: Verifier, *, open_paths: Collection[str] = ()) -> App:
    """Return *app* with a middleware that lets only requests with a valid token reach it.

    ::

        app.add_middleware(authorize, verifier=verifier, open_paths=["/health"])

    It answers as :func:`peerage.web.authorize` does: 401 without a valid token, 403 where the handler raises
    AccessDeniedError, 503 while there are no keys to verify with. :func:`caller` returns the caller, also in
    functions that the framework runs in a thread; ``request.state.principal`` is the same object. A WebSocket
    may carry the token as protocol ``access_token_<jwt>``, which the application doesn't see. One that is
    refused is answered with 401, or with 403 if the server can't answer a handshake.

    A middleware is asked before the framework chooses a handler, so name open paths here. Only Litestar
    chooses before: there the mark :func:`noauth` counts as well. FastAPI has dependencies instead:
    :mod:`peerage.integrations.fastapi`.

    Args:
        app: the application.
        verifier: ``discovery.auth.verifier(…)``.
        open_paths: paths that need no token, exactly as they are in ``scope["path"]``.
    """
    return _Authorized(app, verifier, frozenset(open_paths))


class _Authorized:
    def __init__(self, app: App, verifier: Verifier, open_paths: frozenset[str]) -> None:
        self._app = app
        self._verifier = verifier
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        socket = scope["type"] == "websocket"
        token, others = read_token(values(scope, "Authorization"), scope.get("subprotocols") or ())
        principal = await authenticate(self._verifier, token)
        if isinstance(principal, Refusal):
            await (refuse_websocket(scope, receive, send, principal) if socket else refuse(send, principal))
            return
        if others is not None:
            set_protocols(scope, others)
        scope["state"] = {**scope.get("state", {}), "principal": principal}
        before = current_caller.set(principal)
        try:
            await (self._converse if socket else self._answer)(scope, receive, send)
        finally:
            current_caller.reset(before)

    def _is_open(self, scope: Scope) -> bool:
        if scope["path"] in self._open_paths:
            return True
        handler = getattr(scope.get("route_handler"), "fn", None)  # Litestar
        return handler is not None and is_open(handler, scope.get("method", "GET"))

    def _refusal_of(self, error: BaseException | None) -> Refusal | None:
        """Return the answer in place of the 500 that a framework makes of an exception."""
        if isinstance(error, TokenRefusedError | AccessDeniedError):
            return refusal_of(self._verifier, error)
        return None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = Response(send, refusal_of=self._refusal_of)
        try:
            await self._app(scope, receive, response.send)
        except (TokenRefusedError, AccessDeniedError) as error:
            if response.replaced:
                return
            if response.status is not None:
                # Another answer can't follow the one that was begun: the server closes the connection.
                raise
            await refuse(send, refusal_of(self._verifier, error))

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = closed = False

        async def watched(message: Message) -> None:
            nonlocal accepted, closed
            await send(message)
            accepted = accepted or message["type"] == "websocket.accept"
            closed = closed or message["type"] == "websocket.close"

        try:
            await self._app(scope, receive, watched)
        except (TokenRefusedError, AccessDeniedError) as error:
            refusal = refusal_of(self._verifier, error)
            if closed:
                return
            if accepted:
                with suppress(OSError):  # the client has gone
                    await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            else:
                await refuse_websocket(scope, receive, send, refusal, connected=True)
