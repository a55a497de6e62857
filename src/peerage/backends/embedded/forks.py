"""What a forked child must not keep: the descriptors that are the life of its parent's records.

A lock taken by ``flock`` belongs to the open file, which parent and child share: as long as the child
has the descriptor, the record lives; and if the child unlocked it, the record would die. So the child closes,
and never unlocks.
"""

import os
import threading
from contextlib import suppress
from typing import Final

__all__ = ["HELD", "close", "keep"]

#: Held while a descriptor is open that :func:`keep` doesn't know of (yet): no fork happens in between.
HELD: Final = threading.RLock()

_kept: Final[set[int]] = set()


def keep(fd: int) -> int:
    """Return *fd*, which a forked child will close; call it under :data:`HELD`, in which *fd* was opened."""
    _kept.add(fd)
    return fd


def close(fd: int) -> None:
    """Close a descriptor that :func:`keep` was told of."""
    with HELD:
        # Gone already in a forked child: the number may be somebody else's by now.
        if fd in _kept:
            _kept.discard(fd)
            os.close(fd)


def _drop_all() -> None:
    while _kept:
        with suppress(OSError):
            os.close(_kept.pop())
    HELD.release()


os.register_at_fork(before=HELD.acquire, after_in_parent=HELD.release, after_in_child=_drop_all)
