"""What the embedded registries of one process share: the thread, inotify, and one store per location."""

import os
import threading
from collections.abc import Callable

from peerage.backends.embedded.inotify import Notifier
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.loopthread import LoopThread
from peerage.backends.embedded.store import Store

__all__ = ["Shared", "acquire", "release"]


class Shared:
    """The thread and inotify of the process; made by the first :func:`acquire`."""

    def __init__(self) -> None:
        self.thread = LoopThread()
        self.notifier = Notifier()
        self.users = 0
        self._stores: dict[Location, tuple[Store, int]] = {}

    # On the thread

    def open_store(self, location: Location) -> Store:
        """Return the store at *location* for one more registry."""
        self.notifier.retry_now()
        store, users = self._stores.get(location) or (Store(location, self.notifier), 0)
        self._stores[location] = (store, users + 1)
        return store

    def close_store(self, location: Location) -> None:
        """Close the store at *location* if no other registry uses it."""
        store, users = self._stores.pop(location)
        if users > 1:
            self._stores[location] = (store, users - 1)
        else:
            store.close()


_lock = threading.Lock()
_shared: Shared | None = None


def acquire() -> Shared:
    """Return what the process shares, for one more registry."""
    global _shared  # noqa: PLW0603 - there is one per process
    with _lock:
        if _shared is None:
            _shared = Shared()
        _shared.users += 1
        return _shared


def release(shared: Shared, finished: Callable[[], object]) -> bool:
    """One registry fewer uses it; *finished* is called on the thread after all calls scheduled before.

    Returns True for the last registry; then the thread ends, and *finished* is the last thing it does.
    """
    global _shared  # noqa: PLW0603 - there is one per process
    with _lock:
        shared.users -= 1
        last = shared.users == 0
        if last and _shared is shared:
            _shared = None
    if last:
        shared.thread.call_soon(shared.notifier.close)
        shared.thread.stop(finished)
    elif shared.thread.started:
        shared.thread.call_soon(finished)
    else:
        # Nothing was done for this registry yet, and the calls that it scheduled cancel each other out.
        finished()
    return last


def _forget() -> None:
    """Begin anew in a forked child, which doesn't have the thread."""
    global _shared, _lock
    _lock, _shared = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
