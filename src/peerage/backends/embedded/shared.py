"""What the embedded registries of one process share: the thread, inotify, and one store per location."""

import os
import threading
from collections.abc import Callable
from typing import Final

from peerage.backends.embedded.inotify import Notifier
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.loopthread import LoopThread
from peerage.backends.embedded.store import Store

_lock = threading.Lock()

#: All stores in use; they have the thread and inotify in common.
_stores: Final[dict[Location, Store]] = {}


def acquire(location: Location) -> Store:
    """Return the store at *location*, for one more registry."""
    with _lock:
        other = next(iter(_stores.values()), None)
        thread, notifier = (other.thread, other.notifier) if other else (LoopThread(), Notifier())
        thread.call_soon(notifier.retry_now)
        store = _stores.get(location)
        if store is None:
            store = _stores[location] = Store(location, thread, notifier)
            thread.call_soon(store.open)
        store.users += 1
        return store


def release(store: Store, finished: Callable[[], object]) -> bool:
    """One registry fewer uses *store*; *finished* is called on the thread after all calls scheduled before.

    Returns True for the last registry of the process; then the thread ends right after *finished*.
    """
    thread = store.thread
    with _lock:
        store.users -= 1
        if not store.users:
            del _stores[store.location]
            thread.call_soon(store.close)
        last = not _stores
    if last:
        thread.call_soon(store.notifier.close)
    if thread.started:
        thread.call_soon(finished)
    else:
        # Nothing was done for this registry yet, and the calls that it scheduled cancel each other out.
        finished()
    if last:
        thread.stop()
    return last


def _forget() -> None:
    """Begin anew in a forked child, which doesn't have the thread."""
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    _stores.clear()


os.register_at_fork(after_in_child=_forget)
