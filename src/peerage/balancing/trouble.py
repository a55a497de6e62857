"""What went wrong at one instance lately, and how much that counts when instances are compared.

An instance that fails fast has few requests under way, so it would look least busy and get nearly all of
them. A failure therefore counts like requests under way for some seconds (the idea of Linkerd's load biaser).
An attempt that was given up counts as under way until the instance next answers, because a stopped instance
goes on holding what it was sent.
"""

from typing import TYPE_CHECKING, Final

from peerage.balancing.window import Window

if TYPE_CHECKING:
    from peerage.balancing.service import Service

#: Seconds for which an attempt that was given up counts as under way at most.
HELD_SECONDS: Final = 30.0

#: Seconds for which an instance that was just started gets one request at a time: it is probably still cold,
#: and would hold up many.
COLD_SECONDS: Final = 5.0

#: What a further request at such an instance counts for: more than usually is under way at others, and less
#: than failures count.
_COLD_LOAD: Final = 10.0

#: Seconds that a Retry-After header counts for at most.
LONGEST_RETRY_AFTER: Final = 300.0

#: The penalty of one failure, and of all together at most.
_ONE: Final = 5.0
_MOST: Final = 1000.0

#: Seconds in which a penalty halves, and the penalty that is none any more: one failure is forgotten after 3
#: seconds, the most after 11.
_HALF_LIFE: Final = 1.0
_LEAST: Final = 0.5


class Trouble:
    """The failures of one instance; it has none of these as long as all goes well."""

    __slots__ = (
        "_held_until",
        "_penalised_at",
        "_penalty",
        "cold_until",
        "consecutive",
        "ejected_at",
        "ejected_from",
        "ejections",
        "failures",
        "held",
        "retry_at",
        "suspect_at",
    )

    def __init__(self) -> None:
        self.cold_until = 0.0
        """Until when it gets one request at a time, because it has just been started."""
        self.consecutive = 0
        """Failures since the last success."""
        self.failures = Window()
        """Those of the last 10 seconds."""
        self.held = 0
        """Attempts that were given up, and count as under way."""
        self.retry_at: float | None = None
        """When one request may try the instance again; None if it isn't avoided."""
        self.suspect_at = 0.0
        """When it may be suspected again to be stopped or stuck; 0 if it isn't suspected."""
        self.ejections = 0
        """How often it was ejected since its last success."""
        self.ejected_from: Service | None = None
        """The service whose ejected instances it is among; None if it isn't ejected."""
        self.ejected_at = 0.0
        """When it was ejected."""
        self._held_until = 0.0
        self._penalty = 0.0
        self._penalised_at = 0.0

    def penalty(self, now: float) -> float:
        """Return what the failures count for: requests under way, in addition to each real one."""
        if not self._penalty:
            return 0.0
        age = now - self._penalised_at
        penalty = self._penalty if age <= 0.0 else self._penalty * 0.5 ** (age / _HALF_LIFE)
        if penalty < _LEAST:
            self._penalty = 0.0
            return 0.0
        return penalty

    def penalise(self, now: float, retry_after: float = 0.0) -> None:
        """Count a failure at *now*; it begins to be forgotten after *retry_after* seconds."""
        self._penalty = min(_MOST, self.penalty(now) + _ONE)
        until = now + min(retry_after, LONGEST_RETRY_AFTER)
        self._penalised_at = max(until, self._penalised_at)

    def double(self) -> None:
        """Double the penalty: the instance can't be ejected, because too many others are."""
        self._penalty = min(_MOST, 2.0 * self._penalty)

    def forgive(self) -> None:
        """Forget the failures."""
        self.failures.clear()
        self._penalty = 0.0

    def hold(self, now: float) -> None:
        """Count an attempt that was given up as under way."""
        self.held += 1
        self._held_until = now + HELD_SECONDS

    def load(self, outstanding: int, now: float) -> float:
        """Return the load of an instance with so many requests under way."""
        if outstanding and now < self.cold_until:
            return outstanding + _COLD_LOAD
        return (outstanding + self.holding(now) + 1) * (1.0 + self.penalty(now)) - 1.0

    def holding(self, now: float) -> int:
        """Return the number of attempts that were given up and count as under way at *now*."""
        if self.held and now >= self._held_until:
            self.held = 0
        return self.held

    def is_over(self, now: float) -> bool:
        """Tell whether nothing of it matters any more."""
        return (
            self.retry_at is None
            and not self.held
            and now >= self.cold_until
            and not self.consecutive
            and not self.penalty(now)
            and not self.failures.total(now)
        )
