"""What happened in the last moments."""

from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["Recent"]

#: Names remembered at most; beyond it all are forgotten together, which costs a repeated failure each.
_LIMIT: Final = 4096


class Recent:
    """A set whose members leave by themselves after a while.

    Args:
        seconds: how long a member stays.
        clock: monotonic time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, name: str) -> None:
        """Take *name* in, or let it stay for the full time again."""
        if len(self._until) >= _LIMIT:
            self._until.clear()
        self._until[name] = self._clock() + self._seconds

    def discard(self, name: str) -> None:
        """Take *name* out, if it is in it."""
        self._until.pop(name, None)

    def __contains__(self, name: str) -> bool:
        until = self._until.get(name)
        if until is None:
            return False
        if self._clock() < until:
            return True
        del self._until[name]
        return False

    def __iter__(self) -> Iterator[str]:
        """Iterate over those still in it."""
        return iter([name for name in tuple(self._until) if name in self])

    def __bool__(self) -> bool:
        """Whether something may be in it; True for a moment too long costs one look."""
        return bool(self._until)
