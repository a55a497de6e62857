"""Requests to ZooKeeper as coroutines, over one session after the other; at most 64 requests under way.

Everything that kazoo's thread reports arrives here in its order, on the event loop: the answer to a request
never overtakes the event of a change that the answer shows.

============  ========  ========================================================  =======================
state         up        meaning                                                   left by
============  ========  ========================================================  =======================
not started   None      nothing is connected before the first call that needs it  start()
connecting    None      no session is established yet                             Connected, SessionEnded
connected     set       ``session`` is the id of the session                      Disconnected
disconnected  None      the session may survive, so nothing of it is given up     Connected, SessionEnded
pausing       None      a server refused the client; ``session`` is None          Connected, SessionEnded
closed        None      aclose() was called
============  ========  ========================================================  =======================

Whether a session survived a disconnection is known once the next connection is there: by the id of its
session.
"""

import asyncio
import logging
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from kazoo.protocol.serialization import Create, Delete, Exists, GetChildren, GetData, SetData, Sync
from kazoo.protocol.states import ZnodeStat
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from peerage.backends.zookeeper.failures import Lost, NoNode, Throttled
from peerage.backends.zookeeper.handler import ignore
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.notes import (
    Closed,
    Connected,
    ConnectFailed,
    Disconnected,
    NodeEvent,
    Note,
    Request,
    SessionEnded,
)
from peerage.backends.zookeeper.pauses import Pauses
from peerage.backends.zookeeper.session import Client
from peerage.backends.zookeeper.suspension import SuspensionWatch

log = logging.getLogger(__name__)

#: The version of a node that is to be changed or removed whatever its version is.
ANY_VERSION: Final = -1

_EPHEMERAL_SEQUENCE: Final = 3

#: Kinds of events.
DELETED: Final = 2
CHANGED: Final = 3
CHILDREN: Final = 4

#: Requests under way, at most: kazoo's pipe to its thread takes a few hundred before it blocks.
WINDOW: Final = 64

#: The share by which the session time-out may differ from what is asked for: servers count in milliseconds.
_TIMEOUT_TOLERANCE: Final = 0.01

#: Seconds until it is reported that no server has answered yet.
_SILENCE: Final = 1.0

#: Between the reason why there is no connection, and for how long the machine was suspended meanwhile.
_SUSPENDED: Final = "; this machine was suspended for "

#: Seconds that closing waits for the server to end the session.
_END_TIMEOUT: Final = 0.7

#: Seconds that closing then waits for the thread, whose connection it has cut.
_ABORT_TIMEOUT: Final = 0.2


#: Makes a client as the class Client does: of a location, a TLS context, what reports, and the pause.
ClientFactory = Callable[
    [Location, ssl.SSLContext | None, Callable[[Note], None], Callable[[], float]], Client
]


class Connection:
    """One session after the other with the servers of *location*, until closed.

    *make_client* makes what talks to the servers.
    """

    def __init__(
        self,
        location: Location,
        context: ssl.SSLContext | None,
        pauses: Pauses | None = None,
        make_client: ClientFactory = Client,
    ) -> None:
        self.location = location
        self.pauses = pauses or Pauses()
        self.client = make_client(location, context, self._report, self.pauses.restart)
        """The client of kazoo, also for other parts of the program."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._notes: deque[Note] = deque()
        self._queued: deque[Request] = deque()
        # In the order in which they were sent, in which they fail together.
        self._in_flight: dict[Request, None] = {}
        self._changed = asyncio.Event()
        self._ended: asyncio.Future[None] | None = None
        self._throttle_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._reasons: set[str] = set()
        self._unexpected: set[type[Exception]] = set()
        self.up: Connected | None = None
        """The connection, another object after each reconnect; None while there is none."""
        self.session: int | None = None
        """The session that is or was connected; None before the first, and once it is certainly over."""
        self.reason: str | None = None
        """Why there is no connection, as far as known: of several reasons the one that came last."""
        self.since = time.monotonic()
        """When :attr:`up` came or went."""
        self.suspended = 0.0
        """Seconds for which the machine was suspended since the connection was up; 0 while it is up."""
        self._suspension = SuspensionWatch(self._was_suspended)
        self._logged_timeout: float | None = None
        self.on_change: list[Callable[[], None]] = []
        """Called after :attr:`up`, :attr:`session` or :attr:`reason` changed."""
        self.on_event: list[Callable[[int, str], None]] = []
        """Called with the kind and the path of each event of a watch."""

    # Life

    def start(self) -> None:
        """Begin to connect, on the running event loop; may be called again."""
        if self._loop is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(_SILENCE, self._report_silence)
            self._suspension.start()
            self._begin(self._loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            return
        try:
            self.client.begin()
        except (OSError, RuntimeError) as error:  # no descriptor, no thread
            self._set_reason(f"connecting needs a descriptor and a thread: {error}")
            loop.call_later(self.pauses.no_resources(), self._begin, loop)

    async def aclose(self) -> None:
        """End the session, and with it everything ephemeral; within a second. Call it once."""
        self._closed = True
        self._suspension.stop()
        if self.client.thread is None:
            self.client.discard()
        else:
            await self._end_session()
        self._connection_lost("closed")

    async def _end_session(self) -> None:
        ended = self._ended = asyncio.get_running_loop().create_future()
        self.client.begin_to_close()
        await asyncio.wait([ended], timeout=_END_TIMEOUT)
        if not ended.done():
            self.client.abort()
            await asyncio.wait([ended], timeout=_ABORT_TIMEOUT)
        if not ended.done():
            # Most likely a name server doesn't answer: the thread ends when the look-up does.
            log.debug("The thread that talks to %s is still ending", self.location.url)

    # What the thread reports

    def _report(self, note: Note) -> None:
        # On kazoo's thread. Only the first of several notes has to wake the loop. The note is appended before
        # the length is compared: otherwise the loop could take the last one between the two steps.
        self._notes.append(note)
        if len(self._notes) == 1 and self._loop is not None:
            # The loop may be closed by now.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._take_notes)

    def _take_notes(self) -> None:
        notes = self._notes
        while notes:
            # Removed last: as long as it is there, the thread doesn't wake the loop again.
            try:
                self._handle(notes[0])
            except BaseException:
                if self._loop is not None:
                    self._loop.call_soon(self._take_notes)
                raise
            finally:
                notes.popleft()

    def _handle(self, note: Note) -> None:
        match note:
            case Request():
                self._answered(note)
            case NodeEvent(kind, path):
                for listener in self.on_event:
                    listener(kind, path)
            case Connected():
                self.up, self.session, self.reason, self.since = note, note.session, None, time.monotonic()
                self._reasons.clear()
                self.suspended = 0.0
                self._log_timeout(note.session_timeout)
                self._announce()
            case Disconnected(reason):
                self._connection_lost(reason)
            case ConnectFailed(reason):
                self._set_reason(reason)
            case SessionEnded(reason, error):
                self._session_ended(reason, error)
            case Closed():
                self._thread_ended()

    def _answered(self, request: Request) -> None:
        self._in_flight.pop(request, None)
        if isinstance(request.failure, Throttled):
            # The server has left it undone: it is sent again after a pause, and its caller waits longer.
            self._queued.append(request)
            if self._throttle_timer is None and self._loop is not None:
                self._throttle_timer = self._loop.call_later(self.pauses.throttled(), self._resume)
            return
        if not request.future.done():  # not cancelled
            if request.failure is None:
                request.future.set_result(request.value)
            else:
                request.future.set_exception(request.failure)
        self._send_queued()

    def _resume(self) -> None:
        if self._throttle_timer is not None:
            self._throttle_timer.cancel()
            self._throttle_timer = None
        self._send_queued()

    def _connection_lost(self, reason: str) -> None:
        if self.up is not None:
            self.up, self.since = None, time.monotonic()
        queued, self._queued = self._queued, deque()
        _fail(queued, reason)
        self._resume()
        self._set_reason(reason)

    def _was_suspended(self, seconds: float) -> None:
        """Connect anew: the session is probably over, and what was read is old."""
        self.suspended += seconds
        if self.up is None:
            failure = (self.reason or "it hasn't answered yet").partition(_SUSPENDED)[0]
            self._set_reason(f"{failure}{_SUSPENDED}{self.suspended:.0f} s")
            return
        log.warning(
            "This machine was suspended for %.0f s, or its clock was set: connecting to %s anew.",
            seconds,
            self.location.url,
        )
        self._connection_lost(f"this machine was suspended for {seconds:.0f} s")
        self.client.hang_up()

    def _log_timeout(self, granted: float) -> None:
        """Log, once, that the servers grant another session time-out than the one that is asked for."""
        asked = self.location.session_timeout
        if granted != self._logged_timeout and abs(granted - asked) > _TIMEOUT_TOLERANCE * asked:
            self._logged_timeout = granted
            log.warning(
                "The servers of %s grant a session time-out of %g s, not %g s: so long the record of a "
                "killed process stays. Change minSessionTimeout or maxSessionTimeout of the servers, or "
                "session_timeout in the URL.",
                self.location.url,
                granted,
                asked,
            )

    def _report_silence(self) -> None:
        if self.reason is None:
            self._set_reason("it hasn't answered yet")

    def _set_reason(self, reason: str) -> None:
        """Set why there is no connection; each reason once: servers may fail in turn, in different ways."""
        if self.up is None and reason not in self._reasons:
            self._reasons.add(reason)
            self.reason = reason
            self._announce()

    def _session_ended(self, reason: str, error: Exception | None) -> None:
        _fail(self._in_flight, reason)
        self._in_flight.clear()
        if error is not None and type(error) not in self._unexpected:
            self._unexpected.add(type(error))
            log.error("Talking to %s failed unexpectedly; beginning again", self.location.url, exc_info=error)
        self.session = None
        self._connection_lost(reason)

    def _thread_ended(self) -> None:
        if self.client.thread is not None:
            self.client.thread.join(0.5)  # it has nothing left to do but to return
        if self._ended is not None:
            self._ended.set_result(None)

    def _announce(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in self.on_change:
            listener()

    def changed(self) -> Awaitable[object]:
        """Return an awaitable that is done once :attr:`up` or :attr:`reason` differs from now."""
        return self._changed.wait()

    async def wait_connected(self) -> Connected:
        """Wait until there is a connection; raise Lost once this is closed."""
        while self.up is None:
            if self._closed:
                raise Lost("closed")
            await self.changed()
        return self.up

    # Requests

    def post(self, body: Any) -> "asyncio.Future[Any]":
        """Send a request of kazoo or of this package when its turn comes, over this very connection.

        The future ends with the answer or a Failure: with Lost if the connection ends first.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.up is None:
            future.set_exception(Lost(self.reason or "not connected yet"))
        else:
            self._queued.append(Request(body, self.up.number, self._report, future))
            self._send_queued()
        return future

    def _send_queued(self) -> None:
        while self._queued and self._throttle_timer is None and len(self._in_flight) < WINDOW:
            request = self._queued.popleft()
            if request.future.done():
                continue  # cancelled before it was sent
            if not self.client.submit(request):
                # The thread has lost the connection and reports it next, which fails this request. Failed
                # here, a caller that tries again at once would do so for ever.
                self._queued.appendleft(request)
                return
            self._in_flight[request] = None

    # ZooKeeper's operations; each raises a Failure if the server refuses it or doesn't answer.

    async def sync(self, path: str) -> None:
        """Let the server catch up with the leader before it answers what is asked next about *path*."""
        await self.post(Sync(path))

    async def children(self, path: str) -> list[str]:
        """Return the names of the children."""
        names: list[str] = await self.post(GetChildren(path, None))
        return names

    async def read(self, path: str, *, watch: bool = False) -> tuple[bytes, ZnodeStat]:
        """Return what the node holds, and what is known of it; with *watch*, get one event of it."""
        data, status = await self.post(GetData(path, ignore if watch else None))
        return data or b"", status

    async def status(self, path: str, *, watch: bool = False) -> ZnodeStat | None:
        """Return what is known of the node without reading it, None if there is none; *watch* as above."""
        return await self.post(Exists(path, ignore if watch else None))

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

    @property
    def acl(self) -> list[ACL]:
        """The access list of what is created here."""
        acl: list[ACL] = CREATOR_ALL_ACL if self.location.acl == "creator" else OPEN_ACL_UNSAFE
        return acl


def _fail(requests: Iterable[Request], reason: str) -> None:
    for request in requests:
        if not request.future.done():
            request.future.set_exception(Lost(reason))
