"""Which error of httpx a caller gets for an error of peerage or of aiohttp: one table for all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from peerage.client import UnreachableError, UnreachableTimeoutError
from peerage.client.outcomes import waited_for_a_slot
from peerage.errors import DeadlineExceededError, NotDiscoveredError, NotReadyError
from peerage.integrations.transports.bodies import WriteTimedOutError
from peerage.integrations.transports.fields import InvalidRequestError

if TYPE_CHECKING:
    import httpx


class UnsupportedRequestError(ValueError):
    """What the request wants can't be had by way of aiohttp."""


#: Errors of peerage, and of httpx, that the caller's error is both of; the first that fits.
_BOTH: Final[Mapping[type[Exception], tuple[str, ...]]] = {
    UnreachableTimeoutError: ("ConnectTimeout", "ConnectError"),
    UnreachableError: ("ConnectError",),
    NotDiscoveredError: ("ConnectError",),
    NotReadyError: ("ConnectTimeout",),
    DeadlineExceededError: ("TimeoutException",),
}

#: Errors of aiohttp, and what the caller gets in their place, as from httpcore; the first that fits.
_INSTEAD: Final[Mapping[type[Exception], str]] = {
    WriteTimedOutError: "WriteTimeout",
    aiohttp.SocketTimeoutError: "ReadTimeout",
    aiohttp.ConnectionTimeoutError: "ConnectTimeout",
    aiohttp.ServerFingerprintMismatch: "ConnectError",
    aiohttp.ClientConnectorError: "ConnectError",
    aiohttp.ServerDisconnectedError: "RemoteProtocolError",
    aiohttp.ClientResponseError: "RemoteProtocolError",
    aiohttp.ClientPayloadError: "RemoteProtocolError",
    aiohttp.ClientConnectionResetError: "WriteError",
    aiohttp.ClientConnectionError: "ReadError",
    aiohttp.InvalidURL: "UnsupportedProtocol",
    aiohttp.ClientError: "TransportError",
    InvalidRequestError: "LocalProtocolError",
    UnsupportedRequestError: "UnsupportedProtocol",
}


class Failures:
    """Makes errors of httpx, or httpx2, out of others.

    Args:
        module: httpx, or httpx2.
    """

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._both = {
            ours: type(ours.__name__, (ours, *(getattr(module, name) for name in names)), _methods(ours))
            for ours, names in _BOTH.items()
        }
        self._instead = {kind: getattr(module, name) for kind, name in _INSTEAD.items()}

    @contextmanager
    def translated(self, request: "httpx.Request") -> Iterator[None]:
        """Raise an error of the block as the one that the caller of *request* gets, caused by it."""
        try:
            yield
        except Exception as error:
            failure = self.of(error, request)
            if failure is error:
                raise
            raise failure from error

    def of(self, error: Exception, request: "httpx.Request") -> Exception:
        """Return what the caller of *request* gets for *error*: itself if no row of the table fits."""
        made: Any = self._make(error)
        if made is None:
            return error
        made.request = request
        for note in getattr(error, "__notes__", ()):
            made.add_note(note)
        result: Exception = made
        return result

    def _make(self, error: Exception) -> Any:
        for ours, both in self._both.items():
            if isinstance(error, ours):
                return both(error)
        if isinstance(error, aiohttp.ConnectionTimeoutError) and waited_for_a_slot(error):
            return self._module.PoolTimeout(str(error))
        for kind, instead in self._instead.items():
            if isinstance(error, kind):
                return instead(str(error) or type(error).__name__)
        return None


def _methods(ours: type[Exception]) -> dict[str, Any]:
    """Return the body of a class that is *ours*, and an error of httpx as well, made from an error."""

    def init(self: Any, error: Any) -> None:
        if isinstance(error, UnreachableError):
            UnreachableError.__init__(self, error.message, *error.args)
        else:
            ours.__init__(self, str(error))
        # The __init__ of httpx would, which needs other arguments.
        self.request = None

    return {"__init__": init, "__module__": __name__, "__doc__": ours.__doc__}
