"""The asyncio face of a session: requests as coroutines, at most 64 of them on their way.

Everything kazoo's thread says arrives here in its order, on the event loop: the answer to a request never
overtakes the event of a change that it shows.
"""

import asyncio
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from peerage.backends.zookeeper.failures import Lost, NoNode, Throttled
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import Down, Ended, Happened, Note, Replied, Trouble, Up
from peerage.backends.zookeeper.requests import Children, Entry, Exists, MultiRead, Read, Status
from peerage.backends.zookeeper.session import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    Create,
    Delete,
    GetACL,
    KazooClient,
    Session,
    SetACL,
    SetData,
    Sync,
)

__all__ = ["ANY_VERSION", "CHANGED", "CHILDREN", "DELETED", "Connection"]

log = logging.getLogger(__name__)

#: Kinds of events.
DELETED: Final = 2
CHANGED: Final = 3
CHILDREN: Final = 4

#: Requests on their way, at most: kazoo's pipe to its thread takes a few hundred before it blocks.
WINDOW: Final = 64

#: Nodes read by one request: the server cuts a request of 1 MiB, and one answer should take a millisecond.
BATCH: Final = 100

#: Seconds until a client that gave up, refused by the server, is begun again.
_AGAIN: Final = 2.0

#: Seconds for which nothing is sent to a server that has too much to do, more or less.
_BREATHER: Final = 0.1

#: Seconds until it is said that no server has answered yet.
_SILENCE: Final = 1.0

#: Seconds for a goodbye.
_GOODBYE: Final = 0.7

#: Seconds for the end of a thread whose connection was cut under it.
_ABORT: Final = 0.2

_EPHEMERAL_SEQUENCE: Final = 3

#: Of a node that is to be changed or removed whatever it is at.
ANY_VERSION: Final = -1


class Connection:
    """One session after the other with the servers of *location*, until closed.

    Args:
        location: where, and as whom.
        context: for TLS.
    """

    def __init__(self, location: Location, context: ssl.SSLContext | None) -> None:
        self._location = location
        self._context = context
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: Session | None = None
        self._notes: deque[tuple[Session, Note]] = deque()
        self._waiting: deque[tuple[Any, asyncio.Future[Any], int]] = deque()
        self._flying: set[asyncio.Future[Any]] = set()
        self._changed = asyncio.Event()
        self._over: asyncio.Future[None] | None = None
        self._restart: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._breather: asyncio.TimerHandle | None = None
        self._closed = False
        self._reasons: set[str] = set()
        self._unexpected: set[type[Exception]] = set()
        self.up: Up | None = None
        """The connection as it stands, another object after each reconnect; None while there is none."""
        self.reason: str | None = None
        """Why there is no connection, as far as known: of several reasons, that which came up last."""
        self.since = time.monotonic()
        """When :attr:`up` came or went."""
        self.on_change: list[Callable[[], None]] = []
        """Called after :attr:`up` or :attr:`reason` changed."""
        self.on_event: list[Callable[[int, str], None]] = []
        """Called with each event of a watch: its kind, its path."""

    # Life

    def start(self) -> None:
        """Begin to connect, on the running event loop; may be called again."""
        if self._loop is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            (self._session or self._make()).start()
            self._patience = self._loop.call_later(_SILENCE, self._notice_silence)

    def _begin_again(self) -> None:
        self._restart = None
        self._make().start()

    def _make(self) -> Session:
        notes = self._notes

        def tell(note: Note) -> None:
            # On kazoo's thread. Only the first of several has to wake the loop. Put there before it is known
            # to be the first: else the loop could take the last one between the two.
            notes.append((session, note))
            if len(notes) == 1 and self._loop is not None:
                # A loop that is closed has nobody to tell.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._listen)

        session = self._session = Session(self._location, self._context, tell)
        return session

    async def aclose(self) -> None:
        """End the session, and with it everything ephemeral; within a second. Call it once."""
        self._closed = True
        if self._patience is not None:
            self._patience.cancel()
        if self._restart is not None:
            # Between two sessions: there is nobody to say goodbye to.
            self._restart.cancel()
        elif self._session is not None and self._loop is None:
            self._session.discard()
        elif self._session is not None:
            await self._part(self._session)
        self._lose("closed")

    async def _part(self, session: Session) -> None:
        over = self._over = asyncio.get_running_loop().create_future()
        session.close()
        await asyncio.wait([over], timeout=_GOODBYE)
        if not over.done():
            session.abort()
            await asyncio.wait([over], timeout=_ABORT)
        if not over.done():
            # A name server that doesn't answer, most likely: the thread ends when that does.
            log.debug("The thread that talks to %s is still ending", self._location.url)

    # What the thread says

    def _listen(self) -> None:
        notes = self._notes
        while notes:
            # Taken off last: while it is there, nobody wakes the loop again.
            session, note = notes[0]
            try:
                if session is self._session:
                    self._hear(session, note)
            except BaseException:
                if self._loop is not None:
                    self._loop.call_soon(self._listen)
                raise
            finally:
                notes.popleft()

    def _hear(self, session: Session, note: Note) -> None:
        match note:
            case Replied(failure=Throttled()):
                self._put_off(note)
            case Replied():
                self._answer(note)
                self._pump()
            case Happened(kind, path):
                for listener in self.on_event:
                    listener(kind, path)
            case Up():
                self.up, self.reason, self.since = note, None, time.monotonic()
                self._reasons.clear()
                self._announce()
            case Down(reason):
                self._lose(reason)
            case Trouble(reason):
                self._say(reason)
            case Ended(reason, error):
                self._end(session, reason, error)

    def _answer(self, reply: Replied) -> None:
        _, future, _ = reply.ticket
        self._flying.discard(future)
        if future.done():
            return  # nobody waits any more
        if reply.failure is None:
            future.set_result(reply.value)
        else:
            future.set_exception(reply.failure)

    def _put_off(self, reply: Replied) -> None:
        """Send once more, a moment later, what wasn't done: nobody else has to know of it."""
        _, future, _ = reply.ticket
        self._flying.discard(future)
        self._waiting.append(reply.ticket)
        if self._breather is None and self._loop is not None:
            moment = _BREATHER * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
            self._breather = self._loop.call_later(moment, self._go_on)

    def _go_on(self) -> None:
        if self._breather is not None:
            self._breather.cancel()
            self._breather = None
        self._pump()

    def _lose(self, reason: str) -> None:
        if self.up is not None:
            self.up, self.since = None, time.monotonic()
        waiting, self._waiting = self._waiting, deque()
        for _, future, _ in waiting:
            if not future.done():
                future.set_exception(Lost(reason))
        self._go_on()
        self._say(reason)

    def _notice_silence(self) -> None:
        if self.reason is None:
            self._say("it hasn't answered yet")

    def _say(self, reason: str) -> None:
        """Tell why there is no connection; each reason once: servers may fail in turn, in different ways."""
        if self.up is None and reason not in self._reasons:
            self._reasons.add(reason)
            self.reason = reason
            self._announce()

    def _end(self, session: Session, reason: str, error: Exception | None) -> None:
        for future in self._flying:
            if not future.done():
                future.set_exception(Lost(reason))
        self._flying.clear()
        if error is not None and type(error) not in self._unexpected:
            self._unexpected.add(type(error))
            log.error(
                "Talking to %s failed in a way that isn't known; beginning again",
                self._location.url,
                exc_info=error,
            )
        # It has said that it does nothing more: this waits for the end of a function.
        session.join(0.5)
        if self._over is not None:
            self._over.set_result(None)
        elif self._loop is not None and not self._closed:
            self._lose(reason)
            pause = _AGAIN * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load
            self._restart = self._loop.call_later(pause, self._begin_again)

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in self.on_change:
            listener()

    def changed(self) -> Awaitable[object]:
        """Return what ends once :attr:`up` or :attr:`reason` changes from what it is at this call."""
        return self._changed.wait()

    async def connected(self) -> Up:
        """Wait until there is a connection.

        Raises:
            Lost: closed.
        """
        while self.up is None:
            if self._closed:
                raise Lost("closed")
            await self.changed()
        return self.up

    @property
    def client(self) -> KazooClient:
        """The client of kazoo that the session is made of; before :meth:`start`, that it will be made of."""
        return (self._session or self._make()).share()

    # Requests

    def post(self, request: Any) -> "asyncio.Future[Any]":
        """Send *request* when its turn comes, over the connection as it stands.

        The future ends with the answer or a Failure: with Lost if that connection ends first.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.up is None:
            future.set_exception(Lost(self.reason or "not connected yet"))
        else:
            self._waiting.append((request, future, self.up.epoch))
            self._pump()
        return future

    def _pump(self) -> None:
        while self._waiting and self._breather is None and len(self._flying) < WINDOW:
            request, future, epoch = ticket = self._waiting.popleft()
            if future.done():
                continue  # given up before it was sent
            if self._session is None or not self._session.submit(request, epoch, ticket):
                # The thread is ahead: that the connection is lost is to be heard in its turn, and fails this.
                # Failed here, whoever tries again would try for ever.
                self._waiting.appendleft(ticket)
                return
            self._flying.add(future)

    async def children(self, path: str, *, watch: bool = False) -> list[str]:
        """Return the names of the children."""
        names: list[str] = await self.post(Children(path, watch))
        return names

    async def read(self, path: str, *, watch: bool = False) -> Entry:
        """Return the node."""
        entry: Entry = await self.post(Read(path, watch))
        return entry

    async def exists(self, path: str, *, watch: bool = False) -> bool:
        """Say whether there is such a node."""
        return await self.status(path, watch=watch) is not None

    async def status(self, path: str, *, watch: bool = False) -> Status | None:
        """Return what is known of the node without reading it, None if there is none."""
        status: Status | None = await self.post(Exists(path, watch))
        return status

    def read_many(
        self, paths: Sequence[str]
    ) -> "list[tuple[Sequence[str], asyncio.Future[list[Entry | int]]]]":
        """Begin to read all of them; each batch of paths has a future of its own."""
        return [
            (batch, self.post(MultiRead(batch)))
            for batch in (tuple(paths[start : start + BATCH]) for start in range(0, len(paths), BATCH))
        ]

    async def create(self, path: str, data: bytes, *, ephemeral: bool = False) -> str:
        """Create a node, *ephemeral*: of this session, with ten digits behind its name; return its path."""
        flags = _EPHEMERAL_SEQUENCE if ephemeral else 0
        created: str = await self.post(Create(path, data, self.acl, flags))
        return created

    async def write(self, path: str, data: bytes, version: int = ANY_VERSION) -> int:
        """Replace what the node holds, if it is at *version* (by default at any); return its new one."""
        written: int = (await self.post(SetData(path, data, version))).version
        return written

    async def delete(self, path: str, version: int = ANY_VERSION) -> None:
        """Remove the node, if it is at *version* (by default at any); one that isn't there is no error."""
        with suppress(NoNode):
            await self.post(Delete(path, version))

    async def sync(self, path: str) -> None:
        """Wait until the server has caught up with all that was done before."""
        await self.post(Sync(path))

    # Access

    @property
    def acl(self) -> list[ACL]:
        """The access list of what is created here."""
        acl: list[ACL] = CREATOR_ALL_ACL if self._location.acl == "creator" else OPEN_ACL_UNSAFE
        return acl

    async def acl_of(self, path: str) -> list[ACL]:
        """Return the access list of a node."""
        acl: list[ACL] = (await self.post(GetACL(path)))[0]
        return acl

    async def protect(self, path: str) -> None:
        """Give the node the access list of what is created here."""
        await self.post(SetACL(path, self.acl, ANY_VERSION))
