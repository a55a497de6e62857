"""Errors of the client that are aiohttp's errors as well."""

import errno

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from peerage.errors import PeerageError


class UnreachableError(PeerageError, aiohttp.ClientConnectorError):
    """Instances are known, but none could be reached; the last failure is the ``__cause__``.

    It is the error that aiohttp raises if no connection can be made, so code written for aiohttp handles it,
    and the one ``ClientOSError`` that aiohttp doesn't repeat: otherwise every attempt would be made twice.

    Args:
        message: what happened and what to do about it.
        key: of the connection that was wanted, as aiohttp describes it.
        cause: the last failure.
    """

    def __init__(self, message: str, key: ConnectionKey, cause: BaseException | None = None) -> None:
        number = cause.errno if isinstance(cause, OSError) else None
        super().__init__(key, OSError(number or errno.EHOSTUNREACH, message))
        self.message = message

    def __str__(self) -> str:
        return self.message


class UnreachableTimeoutError(UnreachableError, TimeoutError):
    """Likewise, and the last failure was a connection that wasn't made in time."""


class MisdirectedError(aiohttp.ClientResponseError):
    """Another service answered, and says that it didn't process the request.

    The caller gets it only as the ``__cause__`` of an UnreachableError.
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
        # Without the URL, which the reader knows and which may contain secrets.
        return self.message


def unreachable(message: str, key: ConnectionKey, cause: BaseException | None) -> UnreachableError:
    """Return the error of a call that reached no instance."""
    kind = UnreachableTimeoutError if isinstance(cause, TimeoutError) else UnreachableError
    return kind(message, key, cause)
