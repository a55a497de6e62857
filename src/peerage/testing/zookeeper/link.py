"""A connection of a client to the proxy, and the connection to the server that belongs to it."""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peerage.testing.zookeeper.proxy import Proxy

__all__ = ["Link"]

# SO_LINGER: closing resets the connection instead of ending it in order.
_RESET: Final = struct.pack("ii", 1, 0)


class Link:
    """Passes on bytes and ends of streams in order, each way, as the proxy's faults allow."""

    def __init__(self, proxy: "Proxy") -> None:
        self.greeting = b""
        self.session: int | None = None
        self.proxy = proxy
        self.near, self.far = _Side(self), _Side(self)
        self.near.other, self.far.other = self.far, self.near
        self._opening: asyncio.Task[None] | None = None

    def connect(self, host: str, port: int) -> None:
        """Open the connection to the server."""
        self._opening = asyncio.create_task(self._connect(host, port), name="peerage.testing: proxy")
        # A callback, because a task that is cancelled early never begins its coroutine.
        self._opening.add_done_callback(self._opened)

    def abort(self) -> None:
        """Reset both connections."""
        if self._opening is not None:
            self._opening.cancel()
        self.near.abort()
        self.far.abort()

    def settle(self) -> None:
        """Leave the proxy if both connections have ended."""
        if self.near.gone and self.far.gone:
            self.proxy.forget(self)

    async def _connect(self, host: str, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, host, port)
        except OSError:
            self.near.abort()  # the client is connected already, so all that is left is a reset

    def _opened(self, _: asyncio.Task[None]) -> None:
        self._opening = None
        if self.far.transport is None:
            self.far.gone = True
            self.settle()


class _Side(asyncio.Protocol):
    """One of the two connections, with what waits to be sent on it."""

    other: "_Side"

    def __init__(self, link: Link) -> None:
        self._link = link
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self.ended = False
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, data: bytes | None, lag: float) -> None:
        """Send *data*, or None for the end of the stream, after *lag* seconds and after all earlier data."""
        self._waiting.append((asyncio.get_running_loop().time() + lag, data))
        if self._timer is None:
            self._flush()

    def abort(self) -> None:
        """Reset the connection."""
        if self.transport is not None and not self.gone:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def _flush(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting and self.transport is not None:
            due, data = self._waiting[0]
            if due > loop.time():
                self._timer = loop.call_at(due, self._flush)
                return
            self._waiting.popleft()
            if data is not None:
                self.transport.write(data)
                continue
            # The peer may have reset the connection, which asyncio reports a moment later.
            with suppress(OSError):
                self.transport.write_eof()
            self.ended = True
            if self.other.ended and self.other.transport is not None:
                self.transport.close()
                self.other.transport.close()

    def _pass_on(self, data: bytes | None) -> None:
        link, proxy = self._link, self._link.proxy
        if proxy.swallowing:
            return
        if self is link.far and data is not None:
            proxy.heard(link, data)
        if not (self is link.far and proxy.muting):
            self.other.send(data, proxy.lag)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self is self._link.near:
            self._link.proxy.taken(self._link)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._pass_on(data)

    def eof_received(self) -> bool:
        self._pass_on(None)
        return True  # keep the other direction open

    def pause_writing(self) -> None:
        source = self.other.transport
        if source is not None and not source.is_closing():
            source.pause_reading()

    def resume_writing(self) -> None:
        source = self.other.transport
        if source is not None and not source.is_closing():
            source.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        # Unless nothing is passed on, the other connection ends as well.
        source = self.other.transport
        if not self._link.proxy.swallowing and source is not None and not source.is_closing():
            self.other.abort()
        self._link.settle()
