"""httpx2 calls services by name: transports for ``httpx2.AsyncClient`` and ``httpx2.Client``.

::

    async with httpx2.AsyncClient(transport=AsyncTransport(discovery)) as client:
        response = await client.get("http://orders.service_id.asab/v1/orders")

``docs/httpx.md`` says what follows for a program.
"""

from typing import TYPE_CHECKING

from peerage.errors import MissingExtraError
from peerage.integrations.transports.asynchronous import AsyncCarrier
from peerage.integrations.transports.internal import InternalTokens
from peerage.integrations.transports.library import Library
from peerage.integrations.transports.synchronous import SyncCarrier, Synchronous

try:
    import httpx2
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"Calls with httpx2 need the package {error.name!r}: pip install 'peerage[httpx2]'", name=error.name
    ) from error

if TYPE_CHECKING:
    import ssl

    from peerage.calling import CallOptions
    from peerage.discovery import Discovery

__all__ = ["AsyncTransport", "InternalAuth", "Transport"]

_LIBRARY = Library(httpx2)


class AsyncTransport(AsyncCarrier, httpx2.AsyncBaseTransport):
    """Carries requests of an ``httpx2.AsyncClient`` to services found by name.

    Args:
        discovery: finds the services. The client must be used in the event loop of this Discovery.
        wrapped: carries requests to hosts outside of ``.asab``; by default ``httpx2.AsyncHTTPTransport()``.
        calls: how calls deal with failures, instead of what was given to the Discovery.
        ssl: for https to services: True verifies their certificates by the authorities that the system
            trusts; a context verifies as it says.
    """

    def __init__(
        self,
        discovery: "Discovery",
        *,
        wrapped: httpx2.AsyncBaseTransport | None = None,
        calls: "CallOptions | None" = None,
        ssl: "ssl.SSLContext | bool" = True,
    ) -> None:
        super().__init__(_LIBRARY, discovery, wrapped, calls, ssl)


class Transport(SyncCarrier, httpx2.BaseTransport):
    """Carries requests of an ``httpx2.Client`` to services found by name; threads may share it.

    Args:
        discovery: finds the services, such as a :class:`peerage.sync.Discovery`.
        wrapped: carries requests to hosts outside of ``.asab``; by default ``httpx2.HTTPTransport()``.
        calls: how calls deal with failures, instead of what was given to the Discovery.
        ssl: for https to services, as for :class:`AsyncTransport`.
    """

    def __init__(
        self,
        discovery: Synchronous,
        *,
        wrapped: httpx2.BaseTransport | None = None,
        calls: "CallOptions | None" = None,
        ssl: "ssl.SSLContext | bool" = True,
    ) -> None:
        super().__init__(_LIBRARY, discovery, wrapped, calls, ssl)


class InternalAuth(InternalTokens, httpx2.Auth):
    """Authorizes requests to ``.asab`` hosts by internal tokens: ``auth=InternalAuth(discovery)``.

    Requests that have an ``Authorization`` header, and those to other hosts, stay as they are. A redirect to
    another host is followed without a token.

    Args:
        discovery: makes the tokens: a :class:`peerage.Discovery` for an ``AsyncClient``, and a
            :class:`peerage.sync.Discovery` for a ``Client``.
        resources: what an instance's own internal tokens allow: ``{"*": ["orders:read"]}``.
    """
