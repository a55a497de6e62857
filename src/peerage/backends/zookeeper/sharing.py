"""Lets others use the client of a session: kazoo's own methods, on any thread.

Their requests wait in the same queue as the registry's. As in kazoo, they wait there while there is no
connection. The client belongs to the registry: stop() ends the session, and another session begins.
"""

import threading
from typing import Any, Final

from kazoo import exceptions
from kazoo.client import KazooClient
from kazoo.protocol.states import KeeperState

from peerage.backends.zookeeper.requests import AddWatch

__all__ = ["Sharing"]

#: The numbers of kazoo's requests exists and get.
_WATCHES_ONE_NODE: Final = (3, 4)

#: Seconds that stop() waits for the end of a session.
_STOP_TIMEOUT: Final = 10.0

#: The error of a request that is made in one of these states of the client.
_REFUSALS: Final = {
    KeeperState.CLOSED: exceptions.ConnectionClosedError,
    KeeperState.AUTH_FAILED: exceptions.AuthFailedError,
    KeeperState.EXPIRED_SESSION: exceptions.SessionExpiredError,
}


class Sharing(KazooClient):  # type: ignore[misc] # kazoo has no types
    """kazoo's client, with other methods. Every access to the queue holds the lock."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.lock = threading.Lock()
        # Set when the next session begins; None while none is wanted.
        self._next_session: threading.Event | None = None
        self.watched_root: str | None = None
        """The path that the registry's recursive watch is set on."""
        super().__init__(*args, **kwargs)

    @property
    def thread(self) -> threading.Thread:
        """The thread of the connection."""
        thread: threading.Thread = self._connection.thread
        return thread

    # From the first session to the last

    def begin(self) -> None:
        """Begin to connect; returns at once."""
        # Not CLOSED any more: requests of others wait for the connection from now on.
        self._state = "CONNECTING"
        super().start_async()

    def begin_to_close(self) -> None:
        """End the session for good; returns at once."""
        with self.lock:
            awaited, self._next_session = self._next_session, None
        if awaited is not None:
            awaited.set()
        self.end_session()

    def end_session(self) -> None:
        """End the session, once; returns at once."""
        raise NotImplementedError

    def begin_next_session(self) -> bool:
        """Say whether another session follows the one that is over; called on kazoo's thread."""
        with self.lock:
            begins, self._next_session = self._next_session, None
            if begins is None:
                return False
            self._stopped.clear()
            self._state = "CONNECTING"
        begins.set()
        return True

    # What others may call

    def stop(self) -> None:
        """End the session, and with it everything ephemeral; another session begins."""
        with self.lock:
            if self._stopped.is_set() or not self.thread.is_alive():
                return
            self._next_session = begins = threading.Event()
        self.end_session()
        if threading.current_thread() is not self.thread:
            begins.wait(_STOP_TIMEOUT)

    def start(self, timeout: float = 15) -> None:
        """Wait until there is a connection.

        Raises:
            kazoo.handlers.threading.KazooTimeoutError: there was none in time.
        """
        if not self.start_async().wait(timeout):
            raise self.handler.timeout_exception("Connection time-out")

    def start_async(self) -> Any:
        """Return the event that is set while connected; the registry has begun to connect."""
        return self._live

    def close(self) -> None:
        """Do nothing: it is closed with the registry."""

    def _call(self, request: Any, reply: Any) -> bool | None:
        """Queue a request of others; kazoo's own methods call this."""
        with self.lock:
            refusal = _REFUSALS.get(self._state)
            if refusal is None:
                self._queue.append((self._without_second_watch(request), reply))
                self._connection.wake()
                return None
        reply.set_exception(refusal("The client is closed" if self._state == KeeperState.CLOSED else ""))
        return False

    def _without_second_watch(self, request: Any) -> Any:
        """Return *request*, without a watch that would replace the registry's.

        Before 3.9 a server keeps one watch of each connection on a node, the last one (ZOOKEEPER-4466). The
        recursive watch brings the same events.
        """
        if request.type in _WATCHES_ONE_NODE and request.watcher and request.path == self.watched_root:
            return _WithoutWatch(request)
        return request

    def note_watch(self, request: object) -> None:
        """Take note of a request of the registry that is about to be sent; call it with the lock held."""
        if isinstance(request, AddWatch):
            self.watched_root = request.path

    def forget_watch(self, request: object) -> None:
        """Take note of a request of the registry that the server refused."""
        if isinstance(request, AddWatch):
            with self.lock:
                self.watched_root = None

    def _reset(self) -> None:
        with self.lock:
            left = getattr(self, "_queue", ())
            super()._reset()
        for _, reply in left:
            # Queued after kazoo had emptied the queue, so kazoo doesn't answer it.
            if reply is not None:
                reply.set_exception(exceptions.SessionExpiredError())


class _WithoutWatch:
    """A request whose watch isn't sent. kazoo calls its watcher with the events of the recursive watch."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self.type: int = request.type
        self.path: str = request.path
        self.watcher = request.watcher

    def serialize(self) -> bytes:
        return bytes(self._request._replace(watcher=None).serialize())

    def deserialize(self, buffer: bytes, offset: int) -> Any:
        return self._request.deserialize(buffer, offset)
