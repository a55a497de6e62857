"""The classes of httpx, or of httpx2, that the transports use."""

from types import ModuleType
from typing import TYPE_CHECKING, Any

from peerage.integrations.transports.failures import Failures
from peerage.integrations.transports.received import AsyncReceived, SyncReceived

if TYPE_CHECKING:
    import httpx


class Library:
    """What the transports use of a package.

    Args:
        module: httpx, or httpx2.
    """

    def __init__(self, module: ModuleType) -> None:
        self.failures = Failures(module)
        self.Response: type[httpx.Response] = module.Response
        self.ByteStream: type[httpx.ByteStream] = module.ByteStream
        self.AsyncHTTPTransport: type[httpx.AsyncHTTPTransport] = module.AsyncHTTPTransport
        self.HTTPTransport: type[httpx.HTTPTransport] = module.HTTPTransport
        self.AsyncReceived: Any = type("AsyncReceived", (AsyncReceived, module.AsyncByteStream), {})
        self.SyncReceived: Any = type("SyncReceived", (SyncReceived, module.SyncByteStream), {})
