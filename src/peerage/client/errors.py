"""Errors of the client that are aiohttp's errors, too."""

import aiohttp

from peerage.errors import PeerageError

__all__ = ["UnreachableError", "UnreachableTimeoutError"]


class UnreachableError(PeerageError, aiohttp.ClientConnectionError):
    """Known, but no instance could be reached; the last failure is its ``__cause__``.

    It is neither a ``ClientOSError`` nor a ``ServerDisconnectedError``: those aiohttp itself repeats once for
    idempotent methods, and every attempt would be made twice.
    """


class UnreachableTimeoutError(UnreachableError, TimeoutError):
    """Likewise, and the last failure was a connection that wasn't made in time."""
