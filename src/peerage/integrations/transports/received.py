"""The bodies of responses, as they arrive."""

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from peerage.errors import RegistryClosedError

if TYPE_CHECKING:
    import aiohttp
    import httpx

    from peerage.integrations.transports.failures import Failures


class Received:
    """The body of a response, and the end of its request; httpx decodes it.

    Args:
        response: of aiohttp.
        failures: makes the errors that the reader gets.
        request: to which it is the response.
        loop: in which it is received.
    """

    def __init__(
        self,
        response: "aiohttp.ClientResponse",
        failures: "Failures",
        request: "httpx.Request",
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._response = response
        self._failures = failures
        self._request = request
        self._loop = loop

    def __del__(self) -> None:
        # A program that forgets a response would occupy its instance: aiohttp goes on receiving.
        if self._response.closed or self._loop.is_closed():
            return
        # Objects are collected in any thread.
        self._loop.call_soon_threadsafe(self._response.release)
        warnings.warn(
            f"The response to {self._request.method} of {self._request.url.host} was never closed: read it, "
            "or use client.stream(…), which closes it.",
            ResourceWarning,
            stacklevel=2,
        )


class AsyncReceived(Received):
    """A body that is read in the event loop in which it is received."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what has arrived since the last time."""
        with self._failures.translated(self._request):
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        """End the request; its connection is kept if the body has arrived as a whole."""
        self._response.release()


class SyncReceived(Received):
    """A body that is received in the event loop of another thread than the reader's.

    Args:
        response: of aiohttp.
        failures: makes the errors that the reader gets.
        request: to which it is the response.
        loop: in which it is received.
        whole: the body, if it has arrived already.
        run: runs a coroutine in the loop, and returns its result.
    """

    def __init__(
        self,
        response: "aiohttp.ClientResponse",
        failures: "Failures",
        request: "httpx.Request",
        loop: asyncio.AbstractEventLoop,
        *,
        whole: bytes | None,
        run: Callable[[Any], bytes],
    ) -> None:
        super().__init__(response, failures, request, loop)
        self._whole = whole
        self._run = run
        self._process = os.getpid()

    def __iter__(self) -> Iterator[bytes]:
        """Yield what has arrived since the last time."""
        if self._whole is not None:
            # Each turn in the other thread takes as long as a small request.
            yield self._whole
            return
        with self._failures.translated(self._request):
            while True:
                self._check_process()
                if not (chunk := self._run(self._response.content.readany())):
                    return
                yield chunk

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise RegistryClosedError(
                f"The response to {self._request.method} of {self._request.url.host} can be read only in the "
                "process that sent its request, which has forked this one: send another request here."
            )

    def close(self) -> None:
        """End the request; its connection is kept if the body has arrived as a whole."""
        if not self._response.closed:
            # The loop is closed if the Discovery is.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._response.release)
