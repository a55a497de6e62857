"""Errors of the client that are aiohttp's errors, too."""

import aiohttp

from peerage.errors import PeerageError

__all__ = ["MisdirectedError", "UnreachableError", "UnreachableTimeoutError"]


class UnreachableError(PeerageError, aiohttp.ClientConnectionError):
    """Known, but no instance could be reached; the last failure is its ``__cause__``.

    It is neither a ``ClientOSError`` nor a ``ServerDisconnectedError``: those aiohttp itself repeats once for
    idempotent methods, and every attempt would be made twice.
    """


class MisdirectedError(aiohttp.ClientResponseError):
    """Who answered is another service than the one meant, and hasn't processed the request.

    It never reaches the caller by itself, only as the ``__cause__`` of an UnreachableError.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        super().__init__(
            response.request_info,
            response.history,
            status=response.status,
            message="another service answers there",
            headers=response.headers,
        )

    def __str__(self) -> str:
        # Without the URL: who reads it knows, and it may hold what isn't for a log.
        return self.message


class UnreachableTimeoutError(UnreachableError, TimeoutError):
    """Likewise, and the last failure was a connection that wasn't made in time."""
