"""A TCP proxy in front of a server, with the faults of a network, which knows ZooKeeper's sessions."""

import asyncio
from types import TracebackType
from typing import Self

from peerage.testing.zookeeper.link import Link
from peerage.testing.zookeeper.ports import free_port
from peerage.testing.zookeeper.sessions import LONGEST_GREETING, Session, end_session, read_session

__all__ = ["Proxy"]


class Proxy:
    """Stands between clients and *target* (``host:port``), on a free port of the loopback interface.

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
        """The ZooKeeper sessions that went through and weren't expired here, by id; not those over TLS."""
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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # Faults

    def cut(self) -> None:
        """Reset the connections there are; new ones are taken."""
        for link in tuple(self._links):
            link.abort()

    async def refuse(self) -> None:
        """Reset the connections there are, and refuse new ones until :meth:`heal`."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()
        # Their ends are told by the loop.
        await self._quiet.wait()

    def black_hole(self) -> None:
        """Accept everything, pass on nothing, either way: connections that are only half open.

        Neither side learns that the other has gone.
        """
        self.swallowing = True

    def swallow_answers(self) -> None:
        """Pass on what clients say, nothing that the server says: what is asked for is done, unconfirmed."""
        self.muting = True

    def delay(self, seconds: float) -> None:
        """Pass on everything so much later, in order, each way."""
        self.lag = seconds

    async def heal(self) -> None:
        """Be a plain proxy again; the connections of a black hole are reset."""
        if self.swallowing or self.muting:
            self.swallowing = self.muting = False
            self.cut()
        self.lag = 0.0
        await self.start()

    def retarget(self, target: str) -> None:
        """Send new connections elsewhere."""
        self._target = target

    async def expire_sessions(self) -> None:
        """End every session that went through, at the server: it takes their clients for dead.

        Goes straight to the target, whatever the faults are.

        Raises:
            OSError: the target can't be reached.
            TimeoutError: it doesn't confirm.
        """
        for session in tuple(self.sessions.values()):
            await end_session(session, *self._place())
            self._ended.add(session.id)
            self.sessions.pop(session.id, None)
            # The server leaves a client that came back in the meantime connected, and ignores it.
            for link in tuple(self._links):
                if link.session == session.id and not self.swallowing:
                    link.abort()

    def _place(self) -> tuple[str, int]:
        host, _, port = self._target.rpartition(":")
        return host, int(port)

    # What the links tell

    def taken(self, link: Link) -> None:
        """A client is there: connect it."""
        self._links.add(link)
        self._quiet.clear()
        if self._server is None or self.swallowing:
            link.stay_alone()
        else:
            link.connect(*self._place())
        if self._server is None:
            link.abort()  # accepted a moment before it was to be refused

    def heard(self, link: Link, data: bytes) -> None:
        """Note the session that a server's first message begins."""
        missing = LONGEST_GREETING - len(link.greeting)
        if missing > 0:
            link.greeting += data[:missing]
            session = read_session(link.greeting)
            if session is None:
                return
            link.session = session.id
            if session.id in self._ended:
                link.abort()  # said before it was ended, heard after
            else:
                self.sessions[session.id] = session

    def forget(self, link: Link) -> None:
        """Both sides of a link are gone."""
        self._links.discard(link)
        if not self._links:
            self._quiet.set()
