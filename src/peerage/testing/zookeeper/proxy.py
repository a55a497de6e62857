"""A TCP proxy that simulates the faults of a network and can end ZooKeeper's sessions."""

import asyncio
from typing import Self

from peerage.testing.zookeeper.link import Link
from peerage.testing.zookeeper.ports import free_port
from peerage.testing.zookeeper.sessions import LONGEST_GREETING, Session, end_session, read_session

__all__ = ["Proxy"]


class Proxy:
    """A proxy between clients and *target* (``host:port``), on a free port of the loopback interface.

    ::

        async with Proxy(server.address) as proxy:
            proxy.black_hole()
            ...
            await proxy.heal()

    While the target can't be reached, clients are connected and then reset.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._port = free_port()
        self._links: set[Link] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.swallowing = False
        self.muting = False
        self.lag = 0.0
        self.sessions: dict[int, Session] = {}
        """The ZooKeeper sessions seen here and not ended here, by id; without those over TLS."""
        self._ended: set[int] = set()

    @property
    def address(self) -> str:
        """``127.0.0.1:port``."""
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen; again on the same port after :meth:`refuse`."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: Link(self).near, "127.0.0.1", self._port)

    async def aclose(self) -> None:
        """End everything; may be called twice."""
        await self.refuse()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # Faults

    def cut(self) -> None:
        """Reset all connections; new ones are accepted."""
        for link in tuple(self._links):
            link.abort()

    async def refuse(self) -> None:
        """Reset all connections, and refuse new ones until :meth:`heal`."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()
        # The event loop reports their ends.
        await self._quiet.wait()

    def black_hole(self) -> None:
        """Accept connections and pass on nothing, either way: connections are half open.

        Neither side learns that the other has ended.
        """
        self.swallowing = True

    def swallow_answers(self) -> None:
        """Pass on requests but no answers: what is requested is done, and never confirmed."""
        self.muting = True

    def delay(self, seconds: float) -> None:
        """Pass on everything *seconds* later, in order, each way."""
        self.lag = seconds

    async def heal(self) -> None:
        """End all faults; connections that lost data are reset."""
        if self.swallowing or self.muting:
            self.swallowing = self.muting = False
            self.cut()
        self.lag = 0.0
        await self.start()

    def retarget(self, target: str) -> None:
        """Connect new clients to another *target*."""
        self._target = target

    async def expire_sessions(self) -> None:
        """End every session seen here, at the server, as if its client had died.

        This connects to the target directly, whatever the faults are.

        Raises:
            OSError: the target can't be reached.
            TimeoutError: it doesn't confirm.
        """
        for session in tuple(self.sessions.values()):
            await end_session(session, *self._place())
            self._ended.add(session.id)
            self.sessions.pop(session.id, None)
            # The server keeps a client that has reconnected meanwhile connected, and ignores it.
            for link in tuple(self._links):
                if link.session == session.id and not self.swallowing:
                    link.abort()

    def _place(self) -> tuple[str, int]:
        host, _, port = self._target.rpartition(":")
        return host, int(port)

    # Called by the links

    def taken(self, link: Link) -> None:
        """Connect a new client to the target."""
        self._links.add(link)
        self._quiet.clear()
        if self._server is None or self.swallowing:
            link.far.gone = True
        else:
            link.connect(*self._place())
        if self._server is None:
            link.abort()  # accepted a moment before refuse()

    def heard(self, link: Link, data: bytes) -> None:
        """Note the session that the first message of a server names."""
        missing = LONGEST_GREETING - len(link.greeting)
        if missing > 0:
            link.greeting += data[:missing]
            if (session := read_session(link.greeting)) is None:
                return
            link.session = session.id
            if session.id in self._ended:
                link.abort()  # sent before the session was ended
            else:
                self.sessions[session.id] = session

    def forget(self, link: Link) -> None:
        """Both connections of a link have ended."""
        self._links.discard(link)
        if not self._links:
            self._quiet.set()
