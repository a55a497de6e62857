"""A middleware that refuses requests which are meant for another service."""

import socket
from functools import lru_cache
from ipaddress import ip_address

from peerage.calling.misdirected import DIALLED, read_dialled
from peerage.integrations.asgi.messages import (
    App,
    Receive,
    Scope,
    Send,
    first,
    refuse,
    refuse_websocket,
    values,
)
from peerage.serving.misdirected import Callee, Misdirected
from peerage.serving.refusal import Refusal

_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - nothing is bound here


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
        if scope["type"] in {"http", "websocket"}:
            refusal = refusal_of(misdirected, scope)
            if refusal is not None:
                if scope["type"] == "http":
                    await refuse(send, refusal)
                else:
                    await refuse_websocket(scope, receive, send, refusal)
                return
        await app(scope, receive, send)

    return refusing


def refusal_of(misdirected: Misdirected, scope: Scope) -> Refusal | None:
    """Return the refusal of the request with this scope; None if it is accepted."""
    dialled = values(scope, DIALLED)
    if not dialled:
        return None
    return misdirected.refuse(dialled, _this_end(scope, dialled[0]), first(scope, "Host") or "")


def _this_end(scope: Scope, dialled: str) -> tuple[str, int] | None:
    """Return the address and port to which the connection was made; None if the server doesn't say."""
    address, port = scope.get("server") or (None, None)
    if address is None or port is None:
        # Of a Unix socket the first is its path.
        return None
    if address in _WILDCARDS:
        # granian names the address to which it is bound: the one that was dialled may be any of this host.
        found = read_dialled(dialled)
        if found is None or not _is_of_this_host(found.address):
            return None
        address = found.address
    # granian's port is text.
    return address, int(port)


@lru_cache(maxsize=128)
def _is_of_this_host(address: str) -> bool:
    """Return whether *address* is literal, and a socket can be bound to it."""
    try:
        # A name would be looked up, and nothing else be served meanwhile.
        version = ip_address(address).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6  # noqa: PLR2004 - IPv4
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except (OSError, ValueError):
        return False
    return True
