"""Closing in a forked child the descriptors on which its parent's records depend.

A lock taken by ``flock`` belongs to the open file, which parent and child share. While the child has the
descriptor, the record stays; if the child unlocked it, the record would vanish. Therefore the child closes
the descriptors and never unlocks them. Python calls this for its own forks only.
"""

import os
import threading
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet

#: Held while a descriptor is open that :func:`keep` hasn't recorded (yet); no fork happens meanwhile.
FORK_LOCK: Final = threading.RLock()

_kept: Final[set[int]] = set()


class Owner(Protocol):
    """An object with descriptors that only it can close, because it would close them again otherwise."""

    def abandon(self) -> None:
        """Close them in a forked child."""


#: Everything that is to be abandoned in a forked child.
owners: "Final[WeakSet[Owner]]" = WeakSet()


def keep(fd: int) -> int:
    """Return *fd*, which a forked child will close; *fd* was opened, and this is called, under FORK_LOCK."""
    _kept.add(fd)
    return fd


def close(fd: int) -> None:
    """Close a descriptor that was passed to :func:`keep`."""
    with FORK_LOCK:
        # A forked child has closed it already, and the number may belong to another file by now.
        if fd in _kept:
            _kept.discard(fd)
            os.close(fd)


def _close_all() -> None:
    while _kept:
        with suppress(OSError):
            os.close(_kept.pop())
    for owner in tuple(owners):
        with suppress(OSError):
            owner.abandon()
    FORK_LOCK.release()


os.register_at_fork(before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=_close_all)
