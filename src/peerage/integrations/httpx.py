"""httpx calls services by name: a transport for ``httpx.AsyncClient``.

::

    async with httpx.AsyncClient(transport=AsyncTransport(discovery)) as client:
        response = await client.get("http://orders.service_id.asab/v1/orders")

Everything else is documented in docs/calls.md.
"""

from typing import TYPE_CHECKING

from peerage.errors import MissingExtraError
from peerage.integrations.transports.asynchronous import AsyncCarrier
from peerage.integrations.transports.library import Library

try:
    import httpx
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"Calls with httpx need the package {error.name!r}: pip install 'peerage[httpx]'", name=error.name
    ) from error

if TYPE_CHECKING:
    import ssl

    from peerage.calling import CallOptions
    from peerage.discovery import Discovery

__all__ = ["AsyncTransport"]

_LIBRARY = Library(httpx)


class AsyncTransport(AsyncCarrier, httpx.AsyncBaseTransport):
    """Carries requests of an ``httpx.AsyncClient`` to services found by name.

    Args:
        discovery: finds the services. The client must be used in the event loop of this Discovery.
        wrapped: carries requests to hosts outside of ``.asab``; by default ``httpx.AsyncHTTPTransport()``.
        calls: how calls deal with failures, instead of what was given to the Discovery.
        ssl: for https to services: True verifies their certificates by the authorities that the system
            trusts; a context verifies as it says.
    """

    def __init__(
        self,
        discovery: "Discovery",
        *,
        wrapped: httpx.AsyncBaseTransport | None = None,
        calls: "CallOptions | None" = None,
        ssl: "ssl.SSLContext | bool" = True,
    ) -> None:
        super().__init__(_LIBRARY, discovery, wrapped, calls, ssl)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response to *request*, of which the head has arrived.

        Raises:
            httpx.TransportError: the request failed; docs/calls.md says with which error.
        """
        response: httpx.Response = await self.carry(request)
        return response

    async def aclose(self) -> None:
        """Close the transport, and the one for other hosts; may be called twice."""
        await self.close()
