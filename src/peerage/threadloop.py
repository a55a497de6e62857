"""An event loop for a thread of its own, which a forked child can leave behind."""

import asyncio
import selectors
from typing import Any, Final

#: In a forked child: what ran in loops of its parents.
_of_parents: Final[list[object]] = []


class ThreadLoop(asyncio.SelectorEventLoop):
    """An event loop that a forked child can close, although it runs in the parent."""

    _ready: Any  # declared nowhere else
    in_child = False
    """Whether this is a forked child, which doesn't have the thread."""

    def __init__(self) -> None:
        # Poll, because the descriptor of an epoll would be shared with forked children.
        self._polled = selectors.PollSelector()
        super().__init__(self._polled)

    def is_running(self) -> bool:
        """Whether the loop runs in this process."""
        return not self.in_child and super().is_running()

    def descriptors(self) -> list[int]:
        """Return the descriptors that the loop reads or writes now, its own one included."""
        return [key.fd for key in self._polled.get_map().values()]

    def abandon(self) -> None:
        """Close the loop's own descriptors in a forked child."""
        self.in_child = True
        # Its tasks, and coroutines that were to become tasks, don't end in the child: if they were collected,
        # their blocks would be left as if the parent had cancelled them.
        _of_parents.append((asyncio.all_tasks(self), tuple(self._ready)))
        self.set_exception_handler(lambda _loop, _context: None)
        # Another thread of the parent may hold a lock of the executor, whose threads the child doesn't have.
        self._default_executor = None
        self.close()
