"""A TCP proxy that simulates the faults of a network and can end ZooKeeper's sessions."""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from typing import Final, Self

from peerage.testing.zookeeper.server import free_port
from peerage.testing.zookeeper.sessions import end_session, read_session

#: Bytes that are passed on at once, at most.
_PIECE: Final = 65_536

#: How often it is tried to keep the port, every hundredth of a second.
_TRIES: Final = 50

#: Pieces that wait in each direction of a connection, at most; then the sender has to wait.
_PIECES: Final = 1000

# SO_LINGER: closing resets the connection instead of ending it in order.
_RESET: Final = struct.pack("ii", 1, 0)

#: Pieces with the time of the event loop at which each is due; an empty one is the end of the stream.
_Queue = asyncio.Queue[tuple[float, bytes]]


class Proxy:
    """A proxy between clients and *target* (``host:port``), on a free port.

    ::

        async with Proxy(server.address) as proxy:
            proxy.black_hole()
            ...
            await proxy.heal()

    While the target can't be reached, clients are connected and then reset.

    Args:
        target: ``host:port``.
        address: on which the proxy listens, by default the loopback interface.
    """

    def __init__(self, target: str, *, address: str = "127.0.0.1") -> None:
        self._own_address = address
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._server: asyncio.Server | None = None
        self._port = free_port()
        # Keeps the port while nothing listens there.
        self._held: socket.socket | None = None
        # A link is the task that serves one client; cancelling it resets both of its connections.
        self._links: dict[asyncio.Task[None], StreamWriter] = {}
        self._swallowing = False
        self._muting = False
        self._lag = 0.0
        self.sessions: dict[int, bytes] = {}
        """The passwords of the ZooKeeper sessions seen and not ended here, by id; without those over TLS."""
        self._link_of: dict[int, asyncio.Task[None]] = {}
        self._ended: set[int] = set()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"{self._own_address}:{self._port}"

    async def start(self) -> None:
        """Listen; again on the same port after :meth:`refuse`."""
        self._release()
        if self._server is None:
            self._server = await asyncio.start_server(self.taken, self._own_address, self._port)

    async def aclose(self) -> None:
        """End everything; may be called twice."""
        await self.refuse()
        self._release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Faults

    def cut(self) -> None:
        """Reset all connections; new ones are accepted."""
        for link in self._links:
            link.cancel()

    async def refuse(self) -> None:
        """Reset all connections, and refuse new ones until :meth:`heal`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        if self._links:
            await asyncio.wait(self._links)
        for _ in range(_TRIES):
            if self._held is None:
                self._held = _bind(self._own_address, self._port)
            if self._held is not None:
                break
            # The event loop closes the sockets of the connections that were reset a turn later.
            await asyncio.sleep(0.01)

    def black_hole(self) -> None:
        """Accept connections and pass on nothing, either way: connections are half open.

        Neither side learns that the other has ended.
        """
        self._swallowing = True

    def swallow_answers(self) -> None:
        """Pass on requests but no answers: what is requested is done, and never confirmed."""
        self._muting = True

    def delay(self, seconds: float) -> None:
        """Pass on everything *seconds* later, in order, each way."""
        self._lag = seconds

    async def heal(self) -> None:
        """End all faults; connections that lost data are reset."""
        if self._swallowing or self._muting:
            self._swallowing = self._muting = False
            self.cut()
        self._lag = 0.0
        await self.start()

    async def expire_sessions(self) -> None:
        """End every session seen here, at the server, as if its client had died.

        This connects to the target directly, whatever the faults are.

        Raises:
            OSError: the target can't be reached.
            TimeoutError: it doesn't confirm.
        """
        for session, password in tuple(self.sessions.items()):
            await end_session(session, password, *self._target)
            self._ended.add(session)
            del self.sessions[session]
            link = self._link_of.pop(session)
            # The server keeps a client that has reconnected meanwhile connected, and ignores it.
            if not self._swallowing:
                link.cancel()

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    # Links; a subclass may extend taken() and heard()

    def taken(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve a new client."""
        link = asyncio.create_task(self._serve(reader, writer), name="peerage.testing: proxy")
        self._links[link] = writer
        # A callback, because a task that is cancelled early never begins its coroutine.
        link.add_done_callback(self._forget)
        if self._server is None:
            link.cancel()  # accepted a moment before refuse()

    def _forget(self, link: asyncio.Task[None]) -> None:
        _reset(self._links.pop(link))

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        if self._swallowing:
            await asyncio.Event().wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return  # the client is connected already, so all that is left is a reset
        requests, answers = _Queue(_PIECES), _Queue(_PIECES)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take(link, reader, requests, far=False))
                group.create_task(_give(requests, far_writer))
                group.create_task(self._take(link, far_reader, answers, far=True))
                group.create_task(_give(answers, writer))
            writer.close()
            far_writer.close()
        except* OSError:
            pass  # one of the two was reset
        finally:
            _reset(far_writer)

    async def _take(
        self, link: asyncio.Task[None], reader: StreamReader, queue: _Queue, *, far: bool
    ) -> None:
        """Queue what *reader* gets, and its end, as the faults allow."""
        first = far
        data = b"any"
        while data:
            try:
                data = await reader.read(_PIECE)
            except ConnectionError:
                if not self._swallowing:
                    raise
                data = b""
            if self._swallowing:
                continue
            if first:
                first = False
                self.heard(link, data)
            if not (far and self._muting):
                await queue.put((asyncio.get_running_loop().time() + self._lag, data))
        if self._swallowing:
            await asyncio.Event().wait()  # the other side doesn't learn of the end

    def heard(self, link: asyncio.Task[None], data: bytes) -> None:
        """Note the session that the first message of a server names; a server writes it as one piece."""
        if (found := read_session(data)) is None:
            return
        session, password = found
        if session in self._ended:
            link.cancel()  # sent before the session was ended
        else:
            self.sessions[session], self._link_of[session] = password, link


async def _give(queue: _Queue, writer: StreamWriter) -> None:
    """Write what is queued, each piece when it is due."""
    while True:
        due, data = await queue.get()
        if (wait := due - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(wait)
        if not data:
            writer.write_eof()
            return
        writer.write(data)
        await writer.drain()


def _reset(writer: StreamWriter) -> None:
    """Reset a connection, unless it is ending already."""
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        writer.transport.abort()


def _bind(address: str, port: int) -> socket.socket | None:
    """Bind *port*, so that no other process takes it; None if connections of before still keep it."""
    held = socket.socket()
    try:
        held.bind((address, port))
    except OSError:
        held.close()
        return None
    return held
