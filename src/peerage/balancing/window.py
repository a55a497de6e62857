"""How many events happened lately."""

from typing import Final

#: Seconds that a window covers at most; it covers at least half of them.
WINDOW_SECONDS: Final = 10.0

_HALF: Final = WINDOW_SECONDS / 2


class Window:
    """Counts the events of the last 5 to 10 seconds in two halves, which takes constant time."""

    __slots__ = ("_current", "_previous", "_turn_at")

    def __init__(self) -> None:
        self._current = 0
        self._previous = 0
        self._turn_at = 0.0

    def add(self, now: float) -> None:
        """Count one event at *now*, in seconds; the time never goes back."""
        if now >= self._turn_at:
            self._turn(now)
        self._current += 1

    def total(self, now: float) -> int:
        """Return the number of events in the window that ends at *now*."""
        if now >= self._turn_at:
            self._turn(now)
        return self._current + self._previous

    def clear(self) -> None:
        """Forget all events."""
        self._current = self._previous = 0

    def _turn(self, now: float) -> None:
        late = now - self._turn_at
        self._previous = self._current if late < _HALF else 0
        self._current = 0
        self._turn_at = now - late % _HALF + _HALF
