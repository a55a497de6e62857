"""One client's connection through a proxy, and the one that was made for it."""

import asyncio
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Final, Protocol

__all__ = ["Link", "Passage"]

# Closing tells the peer of a reset, as a network does, not of an orderly end.
_RESET: Final = struct.pack("ii", 1, 0)


class Passage(Protocol):
    """What a link asks its proxy."""

    @property
    def swallowing(self) -> bool:
        """Whether nothing gets through."""

    @property
    def muting(self) -> bool:
        """Whether nothing that the server says gets through."""

    @property
    def lag(self) -> float:
        """Seconds that each byte takes."""

    def taken(self, link: "Link") -> None:
        """A client is there."""

    def heard(self, link: "Link", data: bytes) -> None:
        """The server said this."""

    def forget(self, link: "Link") -> None:
        """Both sides are gone."""


class Link:
    """Passes on bytes and ends, each way in their order, as the proxy says."""

    def __init__(self, passage: Passage) -> None:
        self.greeting = b""
        self.session: int | None = None
        self._passage = passage
        self.near = _Side(self)
        self.far = _Side(self)
        self._opening: asyncio.Task[None] | None = None

    def connect(self, host: str, port: int) -> None:
        """Make the far connection."""
        self._opening = asyncio.create_task(self._connect(host, port), name="peerage.testing: proxy")
        # Not at the end of the coroutine, which a task cancelled early never begins.
        self._opening.add_done_callback(self._opened)

    def stay_alone(self) -> None:
        """Make no far connection."""
        self.far.gone = True

    def abort(self) -> None:
        """Reset both sides."""
        if self._opening is not None:
            self._opening.cancel()
        self.near.abort()
        self.far.abort()

    async def _connect(self, host: str, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, host, port)
        except OSError:
            self.near.abort()  # all that can be told to a client whose connection was taken already

    def _opened(self, _: asyncio.Task[None]) -> None:
        self._opening = None
        if self.far.transport is None:
            self.far.gone = True
            self._settle()

    # What the sides tell

    def made(self, side: "_Side") -> None:
        """A side is connected."""
        if side is self.near:
            self._passage.taken(self)

    def received(self, side: "_Side", data: bytes | None) -> None:
        """A side said something; None: that it says nothing more."""
        if self._passage.swallowing:
            return
        if side is self.far and data is not None:
            self._passage.heard(self, data)
        if side is self.far and self._passage.muting:
            return
        self._other(side).send(data, self._passage.lag)

    def hold(self, side: "_Side", *, full: bool) -> None:
        """A side can't take more for now, or can again."""
        source = self._other(side).transport
        if source is not None and not source.is_closing():
            (source.pause_reading if full else source.resume_reading)()

    def ended(self) -> None:
        """A side was told that nothing more comes."""
        if self.near.ended and self.far.ended:
            self.near.close()
            self.far.close()

    def lost(self, side: "_Side") -> None:
        """A side is gone: the other goes, too, unless nothing gets through."""
        other = self._other(side)
        if not self._passage.swallowing and other.transport is not None and not other.transport.is_closing():
            other.abort()
        self._settle()

    def _settle(self) -> None:
        if self.near.gone and self.far.gone:
            self._passage.forget(self)

    def _other(self, side: "_Side") -> "_Side":
        return self.far if side is self.near else self.near


class _Side(asyncio.Protocol):
    """One of the two connections, and what waits to go out by it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self.ended = False
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def send(self, data: bytes | None, lag: float) -> None:
        """Send *data* after *lag* seconds, and after all that was given before; None: say that it ends."""
        self._waiting.append((asyncio.get_running_loop().time() + lag, data))
        if self._timer is None:
            self._flush()

    def abort(self) -> None:
        """Reset the connection."""
        if self.transport is not None and not self.gone:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def close(self) -> None:
        """Close it once all is sent."""
        if self.transport is not None:
            self.transport.close()

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
        self._link.made(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._link.received(self, data)

    def eof_received(self) -> bool:
        self._link.received(self, None)
        return True  # the other direction goes on

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
