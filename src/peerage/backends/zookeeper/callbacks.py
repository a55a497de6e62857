"""Threads that call back users of kazoo's own client: with events, and with answers that are waited for.

There are two, as in kazoo: a watch may wait for an answer. They begin when somebody asks for the client.
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

#: Seconds that callbacks under way have for ending with their client.
_LAST: Final = 0.3

Call = Callable[[], object]


class Callbacks:
    """Two queues of calls, and a thread for each once :meth:`begin` was called."""

    def __init__(self) -> None:
        self.answers: SimpleQueue[Call | None] = SimpleQueue()
        self.watches: SimpleQueue[Call | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._over = False

    @property
    def begun(self) -> bool:
        """Whether there are threads to make the calls."""
        return bool(self._threads)

    def begin(self) -> None:
        """Start the threads; may be called again, and does nothing after :meth:`end`."""
        with self._lock:
            if self._threads or self._over:
                return
            for calls in (self.answers, self.watches):
                thread = threading.Thread(
                    target=_make_calls, args=(calls,), name="peerage: zookeeper callbacks", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def end(self) -> None:
        """Make the calls that wait and end the threads, but wait no longer than a moment for that."""
        with self._lock:
            self._over = True
        self.answers.put(None)
        self.watches.put(None)
        deadline = time.monotonic() + _LAST
        for thread in self._threads:
            # Ended by a callback itself, it ends when that returns.
            with contextlib.suppress(RuntimeError):
                thread.join(max(0.0, deadline - time.monotonic()))


def _make_calls(calls: "SimpleQueue[Call | None]") -> None:
    while (call := calls.get()) is not None:
        try:
            call()
        except Exception:
            log.exception("A callback failed that was given to the client of ZooKeeper")
        del call
