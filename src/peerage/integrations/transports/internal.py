"""Authorizes the requests of a client to services found by name, and no others, by internal tokens."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from peerage.records.names import is_logical

if TYPE_CHECKING:
    from peerage.discovery import Discovery
    from peerage.integrations.transports.synchronous import Synchronous

#: The extension of a request whose Authorization header is an internal token.
INTERNAL: Final = "peerage.internal"


class InternalTokens:
    """Adds an ``Authorization`` header to requests to ``.asab`` hosts that have none.

    It is asked once for each call, and not for redirects. httpx keeps the header if a redirect leads to the
    same host, and removes it before a redirect to another one is followed. So a token never goes where the
    caller hasn't sent the request.

    Args:
        discovery: makes the tokens.
        resources: what an instance's own tokens allow.
    """

    def __init__(
        self, discovery: "Discovery | Synchronous", resources: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._discovery: Any = discovery
        self._resources = resources

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Authorize *request*, and send it."""
        if _may_have_token(request):
            _add(request, await self._header(self._discovery, request.url.host))
        yield request

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Authorize *request*, and send it."""
        if _may_have_token(request):
            portal = self._discovery.portal
            _add(request, portal.run(self._header(portal.get(), request.url.host)))
        yield request

    async def _header(self, discovery: "Discovery", host: str) -> str | None:
        return await discovery.auth.header(self._resources)(host)


def _may_have_token(request: Any) -> bool:
    return is_logical(request.url.host) and "Authorization" not in request.headers


def _add(request: Any, authorization: str | None) -> None:
    if authorization is not None:
        request.headers["Authorization"] = authorization
        request.extensions[INTERNAL] = True
