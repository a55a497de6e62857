"""The bodies of requests, sent by aiohttp within the caller's limit for writing, and as long as said."""

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.payload import Payload

from peerage.integrations.transports.fields import InvalidRequestError

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

#: Bytes that are given to aiohttp at a time: the event loop isn't blocked for longer than that takes.
_PART: Final = 65_536


class WriteTimedOutError(aiohttp.SocketTimeoutError):
    """The receiver took no part of the body within the limit for writing, which aiohttp doesn't have."""


class InMemory(aiohttp.BytesPayload):
    """A body in memory, which can be sent again.

    Args:
        body: what is sent.
        limit: seconds within which each part must be taken; None: no limit.
    """

    failure: None = None

    def __init__(self, body: bytes, limit: float | None) -> None:
        # aiohttp warns of a large body in memory, because it would send it as a whole.
        super().__init__(b"")
        self._value, self._size = body, len(body)
        self._limit = limit

    async def write_with_length(self, writer: "AbstractStreamWriter", content_length: int | None) -> None:  # noqa: ARG002 - checked before
        """Send the body."""
        body = self._value
        if len(body) <= _PART:
            await _write(writer, body, self._limit)
            return
        view = memoryview(body)
        for begin in range(0, len(body), _PART):
            await _write(writer, bytes(view[begin : begin + _PART]), self._limit)
            # Writing doesn't wait if the receiver takes everything.
            await asyncio.sleep(0)


class Streamed(Payload):
    """A body that is produced while it is sent, and can be sent once.

    Args:
        chunks: what is sent.
        length: how many bytes there are, if the header says so.
        limit: seconds within which each chunk must be taken; None: no limit.
    """

    def __init__(self, chunks: AsyncIterable[bytes], length: int | None, limit: float | None) -> None:
        super().__init__(chunks, content_type="application/octet-stream")
        self._size = length
        self._limit = limit
        self.failure: Exception | None = None
        """What *chunks* raised, or what is wrong with them."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's
        """Raise TypeError: what isn't in memory can't be shown."""
        raise TypeError("The body is produced while it is sent, and isn't in memory.")

    async def write(self, writer: "AbstractStreamWriter") -> None:
        """Send the body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: "AbstractStreamWriter", content_length: int | None) -> None:  # noqa: ARG002 - known before
        """Send the body, which must be as long as its header says."""
        self._consumed = True
        left = self._size
        at_a_time = 0
        iterator = aiter(self._value)
        while (chunk := await self._next(iterator)) is not None:
            if left is not None:
                left -= len(chunk)
                if left < 0:
                    raise self._wrong(f"is longer than its Content-Length of {self._size}")
            if chunk:
                await _write(writer, chunk, self._limit)
                at_a_time += len(chunk)
            if at_a_time >= _PART:
                at_a_time = 0
                await asyncio.sleep(0)
        if left:
            raise self._wrong(f"is {left} bytes shorter than its Content-Length of {self._size}")

    async def _next(self, iterator: Any) -> bytes | None:
        try:
            chunk: bytes = await anext(iterator)
        except StopAsyncIteration:
            return None
        except Exception as error:
            self.failure = error
            raise
        return chunk

    def _wrong(self, what: str) -> InvalidRequestError:
        self.failure = error = InvalidRequestError(f"The body of the request {what}: correct one of them.")
        return error


async def _write(writer: "AbstractStreamWriter", part: bytes, limit: float | None) -> None:
    try:
        async with asyncio.timeout(limit):
            await writer.write(part)
    except TimeoutError as error:
        if isinstance(error, aiohttp.ClientError):
            raise
        transport = getattr(writer, "transport", None)
        if transport is not None:
            # aiohttp would close it, which waits until the receiver has taken the rest.
            transport.abort()
        raise WriteTimedOutError(f"No part of the body was taken within {limit:g} s") from error
