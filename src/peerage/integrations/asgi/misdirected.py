"""A middleware that refuses requests which are meant for another service."""

from peerage.calling.misdirected import DIALLED
from peerage.integrations.asgi.messages import App, Receive, Scope, Send, first, refuse, values
from peerage.serving.misdirected import Callee, Misdirected


def refuse_misdirected(app: App, callee: Callee, *others: Callee) -> App:
    """Return *app* with a middleware that refuses requests which are meant for another service.

    Put it around all other middlewares. It answers as :func:`peerage.web.refuse_misdirected` does, and needs
    a server that says which address a connection was made to (``scope["server"]``).

    Args:
        app: the application.
        callee: the :class:`peerage.Discovery` by which this process is found.
        others: further ones, if it is found by several.
    """
    misdirected = Misdirected((callee, *others))

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            dialled = values(scope, DIALLED)
            if dialled:
                server = scope.get("server")
                local = None if server is None else tuple(server)
                refusal = misdirected.refuse(dialled, local, first(scope, "Host") or "")
                if refusal is not None:
                    await refuse(send, refusal)
                    return
        await app(scope, receive, send)

    return refusing
