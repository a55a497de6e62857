"""What lets others use the client of a session as well: kazoo's own methods, from any thread.

What they ask stands in the same queue as what the registry asks. As kazoo has it, it waits there while there
is no connection. The client is the registry's: whoever stops it ends the session, and another one begins.
"""

import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from peerage.backends.zookeeper.requests import AddWatch

__all__ = ["Sharing"]

#: Of kazoo's requests: exists and get.
_LOOKS_AT_ONE: Final = (3, 4)

#: Seconds that kazoo waits for the end of a session.
_PATIENCE: Final = 10.0


class Sharing:
    """Mixed into kazoo's client, whose methods these are. What goes into its queue goes through the gate."""

    #: The error of a request that comes in one of these states of the client.
    gone: ClassVar[Mapping[str, type[Exception]]]
    #: The error of a request that was in the queue when a session ended.
    ended: ClassVar[type[Exception]]

    _queue: Any
    _state: str
    _stopped: Any
    _live: Any
    _connection: Any
    handler: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gate = threading.Lock()
        self._next: threading.Event | None = None
        self.covered: str | None = None
        """The path that a recursive watch of ours is on."""
        super().__init__(*args, **kwargs)

    @property
    def thread(self) -> threading.Thread:
        """That of the connection."""
        thread: threading.Thread = self._connection.thread
        return thread

    # From the first session to the last

    def begin(self) -> None:
        """Begin to connect; returns at once."""
        # Not closed any more: what others ask from now on waits for the connection.
        self._state = "CONNECTING"
        super().start_async()  # type: ignore[misc] # kazoo's

    def begin_to_close(self) -> None:
        """End the session for good; returns at once."""
        with self.gate:
            awaited, self._next = self._next, None
        if awaited is not None:
            awaited.set()
        self.end_session()

    def end_session(self) -> None:
        """End the session, once; returns at once."""
        raise NotImplementedError

    def goes_on(self) -> bool:
        """Tell whether another session follows on one that is over; called on kazoo's thread."""
        with self.gate:
            begins, self._next = self._next, None
            if begins is None:
                return False
            self._stopped.clear()
            self._state = "CONNECTING"
        begins.set()
        return True

    # What others may do with it

    def stop(self) -> None:
        """End the session, and with it everything ephemeral; another one begins."""
        with self.gate:
            if self._stopped.is_set() or not self.thread.is_alive():
                return
            self._next = begins = threading.Event()
        self.end_session()
        if threading.current_thread() is not self.thread:
            begins.wait(_PATIENCE)

    def start(self, timeout: float = 15) -> None:
        """Wait until there is a connection.

        Raises:
            kazoo.handlers.threading.KazooTimeoutError: there was none in time.
        """
        if not self.start_async().wait(timeout):
            raise self.handler.timeout_exception("Connection time-out")

    def start_async(self) -> Any:
        """Return the event of being connected; it was begun by the registry."""
        return self._live

    def close(self) -> None:
        """Do nothing: it is closed with the registry."""

    def _call(self, request: Any, reply: Any) -> bool | None:
        """Take a request of others; called by kazoo's own methods."""
        with self.gate:
            gone = self.gone.get(self._state)
            if gone is None:
                self._queue.append((self._spare(request), reply))
                self._connection.poke()
                return None
        reply.set_exception(gone("The client is closed" if self._state == "CLOSED" else ""))
        return False

    def _spare(self, request: Any) -> Any:
        """Return *request*, without a watch that would be the end of ours.

        Before 3.9 a server keeps one watch of a connection on a node for this: the last (ZOOKEEPER-4466). The
        recursive one brings the same events.
        """
        if request.type in _LOOKS_AT_ONE and request.watcher and request.path == self.covered:
            return _Covered(request)
        return request

    def cover(self, request: object) -> None:
        """Take note of a request of ours that is about to be sent; call it with the gate closed."""
        if isinstance(request, AddWatch) and request.recursive:
            self.covered = request.path

    def uncover(self, request: object) -> None:
        """Take note of a request of ours that the server refused."""
        if isinstance(request, AddWatch):
            with self.gate:
                self.covered = None

    def _reset(self) -> None:
        with self.gate:
            left = getattr(self, "_queue", ())
            super()._reset()  # type: ignore[misc] # kazoo's
        for _, reply in left:
            # Put there after kazoo had emptied it: nobody else would answer.
            if reply is not None:
                reply.set_exception(self.ended())


class _Covered:
    """A request that asks for no event: what happens to its node is told anyway, and handed on by kazoo."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self.type: int = request.type
        self.path: str = request.path
        self.watcher = request.watcher

    def serialize(self) -> bytes:
        return bytes(self._request._replace(watcher=None).serialize())

    def deserialize(self, buffer: bytes, offset: int) -> Any:
        return self._request.deserialize(buffer, offset)
