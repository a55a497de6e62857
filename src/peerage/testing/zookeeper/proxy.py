"""A TCP proxy in front of a server, with the faults of a network, which knows ZooKeeper's sessions."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

__all__ = ["Proxy"]

_GREETING: Final = struct.Struct("!iiiqi")
_REQUEST: Final = struct.Struct("!iqiqi")

_PASSWORD: Final = 16
_CLOSE_SESSION: Final = struct.pack("!iii", 8, 1, -11)


class Proxy:
    """Stands between clients and *target* (``host:port``), on a free port of the loopback interface.

    ::

        proxy = Proxy(server.address)
        await proxy.start()
        proxy.black_hole()
        ...
        proxy.heal()
        await proxy.aclose()
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._port = 0
        self._links: set[_Link] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._opening: set[asyncio.Task[None]] = set()
        self.swallowing = False
        self.lag = 0.0
        self.sessions: dict[int, bytes] = {}
        """Passwords of the ZooKeeper sessions that went through and weren't expired here, by id."""

    @property
    def address(self) -> str:
        """``127.0.0.1:port``, once started."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen; again on the same port after :meth:`refuse`."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Near(self), "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def aclose(self) -> None:
        """End everything; may be called twice."""
        await self.refuse()
        for opening in tuple(self._opening):
            opening.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    # Faults

    def cut(self) -> None:
        """Abort the connections there are; new ones are taken."""
        for link in tuple(self._links):
            link.abort()

    async def refuse(self) -> None:
        """Abort the connections there are, and refuse new ones until :meth:`heal`."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()
        # Their ends are told by the loop.
        await self._quiet.wait()

    def black_hole(self) -> None:
        """Accept everything, pass on nothing, either way: a connection that is only half open."""
        self.swallowing = True

    def delay(self, seconds: float) -> None:
        """Pass on everything so much later, in order, each way."""
        self.lag = seconds

    async def heal(self) -> None:
        """Be a plain proxy again; connections of which something was swallowed are aborted."""
        if self.swallowing:
            self.swallowing = False
            self.cut()
        self.lag = 0.0
        await self.start()

    def retarget(self, target: str) -> None:
        """Send new connections elsewhere."""
        self._target = target

    # Sessions

    async def expire_sessions(self) -> None:
        """End every session that went through, at the server: it takes their clients for dead."""
        sessions, self.sessions = self.sessions, {}
        for session, password in sessions.items():
            host, port = self._place()
            reader, writer = await asyncio.open_connection(host, port)
            body = _REQUEST.pack(0, 0, 10_000, session, len(password)) + password + b"\0"
            writer.write(len(body).to_bytes(4) + body)
            # One that is over already is told so, and there is nothing left to close.
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await reader.readexactly(int.from_bytes(await reader.readexactly(4)))
                writer.write(_CLOSE_SESSION)
                await reader.read()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    # Within

    def _place(self) -> tuple[str, int]:
        host, _, port = self._target.rpartition(":")
        return host, int(port)

    def open(self, near: "_Near") -> None:
        """A client is there: connect it."""
        link = _Link(self, near)
        self._links.add(link)
        self._quiet.clear()
        opening = asyncio.create_task(self._open(link))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, link: "_Link") -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Far(link), *self._place())
        except OSError:
            link.abort()

    def forget(self, link: "_Link") -> None:
        """Both sides are gone."""
        self._links.discard(link)
        if not self._links:
            self._quiet.set()

    def learn(self, greeting: bytes) -> None:
        """Note the session of a server's first answer."""
        if len(greeting) >= _GREETING.size + _PASSWORD:
            _, _, timeout, session, length = _GREETING.unpack_from(greeting)
            if timeout > 0 and length == _PASSWORD:
                self.sessions[session] = greeting[_GREETING.size : _GREETING.size + _PASSWORD]


class _Link:
    """One client's connection and the one that was made for it."""

    def __init__(self, proxy: Proxy, near: "_Near") -> None:
        self.proxy = proxy
        self._near: asyncio.Transport | None = near.transport
        self._far: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._greeted = False
        near.link = self

    def connected(self, far: asyncio.Transport) -> None:
        if self._near is None:
            far.abort()
            return
        self._far = far
        for data in self._early:
            far.write(data)
        self._early.clear()

    def from_near(self, data: bytes) -> None:
        self._pass_on(data, self._to_far)

    def from_far(self, data: bytes) -> None:
        if not self._greeted:
            self._greeted = True
            self.proxy.learn(data)
        self._pass_on(data, self._to_near)

    def _pass_on(self, data: bytes, deliver: Callable[[bytes], None]) -> None:
        if self.proxy.swallowing:
            return
        if self.proxy.lag:
            asyncio.get_running_loop().call_later(self.proxy.lag, deliver, data)
        else:
            deliver(data)

    def _to_far(self, data: bytes) -> None:
        if self._far is not None:
            self._far.write(data)
        elif self._near is not None:
            self._early.append(data)

    def _to_near(self, data: bytes) -> None:
        if self._near is not None:
            self._near.write(data)

    def lost(self, *, near: bool) -> None:
        """One side is gone: the other goes, too."""
        if near:
            self._near = None
        else:
            self._far = None
        self.abort()
        if self._near is None and self._far is None:
            self.proxy.forget(self)

    def abort(self) -> None:
        for transport in (self._near, self._far):
            if transport is not None:
                transport.abort()


class _Near(asyncio.Protocol):
    """The client's side."""

    transport: asyncio.Transport
    link: _Link

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._proxy.open(self)

    def data_received(self, data: bytes) -> None:
        self.link.from_near(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.link.lost(near=True)


class _Far(asyncio.Protocol):
    """The server's side."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._link.connected(transport)

    def data_received(self, data: bytes) -> None:
        self._link.from_far(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._link.lost(near=False)
