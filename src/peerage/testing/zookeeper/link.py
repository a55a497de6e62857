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
        self.near = _Side(self)
        self.far = _Side(self)
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

    async def _connect(self, host: str, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, host, port)
        except OSError:
            self.near.abort()  # the client is connected already, so all that is left is a reset

    def _opened(self, _: asyncio.Task[None]) -> None:
        self._opening = None
        if self.far.transport is None:
            self.far.gone = True
            self._settle()

    # Called by the two sides

    def received(self, side: "_Side", data: bytes | None) -> None:
        """A side has received *data*, or None at the end of the stream."""
        if self.proxy.swallowing:
            return
        if side is self.far and data is not None:
            self.proxy.heard(self, data)
        if side is self.far and self.proxy.muting:
            return
        self._other(side).send(data, self.proxy.lag)

    def hold(self, side: "_Side", *, full: bool) -> None:
        """A side's buffer is *full*, or isn't any more."""
        source = self._other(side).transport
        if source is not None and not source.is_closing():
            (source.pause_reading if full else source.resume_reading)()

    def ended(self) -> None:
        """The end of the stream was passed on to a side."""
        for side in (self.near, self.far):
            if self.near.ended and self.far.ended and side.transport is not None:
                side.transport.close()

    def lost(self, side: "_Side") -> None:
        """A side has ended: reset the other, unless nothing is passed on."""
        other = self._other(side)
        if not self.proxy.swallowing and other.transport is not None and not other.transport.is_closing():
            other.abort()
        self._settle()

    def _settle(self) -> None:
        if self.near.gone and self.far.gone:
            self.proxy.forget(self)

    def _other(self, side: "_Side") -> "_Side":
        return self.far if side is self.near else self.near


class _Side(asyncio.Protocol):
    """One of the two connections, with what waits to be sent on it."""

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
            else:
                # The peer may have reset the connection, which asyncio reports a moment later.
                with suppress(OSError):
                    self.transport.write_eof()
                self.ended = True
                self._link.ended()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self is self._link.near:
            self._link.proxy.taken(self._link)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._link.received(self, data)

    def eof_received(self) -> bool:
        self._link.received(self, None)
        return True  # keep the other direction open

    def pause_writing(self) -> None:
        self._link.hold(self, full=True)

    def resume_writing(self) -> None:
        self._link.hold(self, full=False)

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._link.lost(self)
