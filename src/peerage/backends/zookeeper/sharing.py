"""What lets others use the client of a session as well: kazoo's own methods, from any thread.

What they ask stands in the same queue as what the registry asks. As kazoo has it, it waits there while there
is no connection.
"""

import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from peerage.backends.zookeeper.requests import AddWatch

__all__ = ["Sharing"]

#: Of kazoo's requests: exists and get.
_LOOKS_AT_ONE: Final = (3, 4)


class Sharing:
    """Mixed into kazoo's client, whose methods these are. What goes into its queue goes through the gate."""

    #: The error of a request that comes in one of these states of the client.
    gone: ClassVar[Mapping[str, type[Exception]]]
    #: The error of a request that was in the queue when a session ended.
    ended: ClassVar[type[Exception]]

    _queue: Any
    _state: str
    _connection: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gate = threading.Lock()
        self.covered: str | None = None
        """The path that a recursive watch of ours is on."""
        super().__init__(*args, **kwargs)

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
