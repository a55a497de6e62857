"""A dependency that refuses requests which are meant for another service."""

from collections.abc import Awaitable, Callable

from fastapi.requests import HTTPConnection

from peerage.integrations.asgi.misdirected import refusal_of
from peerage.integrations.fastapi.refusing import refused
from peerage.serving.misdirected import Callee, Misdirected


def refuse_misdirected(callee: Callee, *others: Callee) -> Callable[..., Awaitable[None]]:
    """Return a dependency that refuses requests which are meant for another service, with 421.

    Make it the first dependency of the whole application. It answers as
    :func:`peerage.web.refuse_misdirected` does, and needs a server that says which address a connection was
    made to (``scope["server"]``).

    Args:
        callee: the :class:`peerage.Discovery` by which this process is found.
        others: further ones, if it is found by several.
    """
    misdirected = Misdirected((callee, *others))

    async def refuse(connection: HTTPConnection) -> None:
        refusal = refusal_of(misdirected, connection.scope)
        if refusal is not None:
            raise refused(refusal)

    return refuse
