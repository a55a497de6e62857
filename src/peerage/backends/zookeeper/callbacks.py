"""Threads that call back other users of kazoo's client, with events and with answers.

There are two, as in kazoo, because the callback of a watch may wait for an answer. They start when the client
is shared.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

__all__ = ["Callbacks"]

log = logging.getLogger(__name__)

#: Seconds that the end of the client waits for callbacks under way.
_END_TIMEOUT: Final = 0.3

Call = Callable[[], object]


class Calls:
    """A queue of calls for the thread that runs :meth:`make`; after its end, put() makes them itself."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._over = False

    def put(self, call: Call) -> None:
        """Queue *call*."""
        with self._lock:
            if not self._over:
                self._queue.put(call)
                return
        # The answer to a request that came too late: its caller waits for it.
        _make(call)

    def end(self) -> None:
        """Let the thread make the queued calls, and end."""
        with self._lock:
            self._over = True
        self._queue.put(None)

    def make(self) -> None:
        """Make the calls until the end."""
        while (call := self._queue.get()) is not None:
            _make(call)
            del call


class Callbacks:
    """Two queues of calls, each with a thread once :meth:`begin` was called."""

    def __init__(self) -> None:
        self.answers = Calls()
        self.watches = Calls()
        self.over = threading.Event()
        """Set when :meth:`end` is called."""
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def begun(self) -> bool:
        """Whether there are threads to make the calls."""
        return bool(self._threads)

    def begin(self) -> None:
        """Start the threads; may be called again, and does nothing after :meth:`end`."""
        with self._lock:
            if self._threads or self.over.is_set():
                return
            for calls in (self.answers, self.watches):
                thread = threading.Thread(target=calls.make, name="peerage: zookeeper callbacks", daemon=True)
                self._threads.append(thread)
                thread.start()

    def end(self) -> None:
        """Make the queued calls and end the threads; wait for both only a moment."""
        with self._lock:
            self.over.set()
        self.answers.end()
        self.watches.end()
        deadline = time.monotonic() + _END_TIMEOUT
        for thread in self._threads:
            # A thread can't join itself: if a callback ended the client, its thread ends when it returns.
            with contextlib.suppress(RuntimeError):
                thread.join(max(0.0, deadline - time.monotonic()))


def _make(call: Call) -> None:
    try:
        call()
    except Exception:
        log.exception("A callback that was given to the client of ZooKeeper failed")
