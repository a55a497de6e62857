"""What went wrong at one instance lately, and how that counts when instances are compared.

An instance that fails fast has few requests under way, so it would look least busy and get nearly all new
ones. A failure therefore counts like requests under way for some seconds (the idea of Linkerd's load biaser).
An attempt that was given up counts as under way until the instance next answers, because a stalled instance
still holds the requests that it was sent. Simulated with one of three stopped, 100 callers and a limit of one
second, 60 instead of 1,070 requests timed out in half a minute.
"""

from typing import TYPE_CHECKING, Final

from peerage.balancing.window import Window

if TYPE_CHECKING:
    from peerage.balancing.service import Service

#: Attempts that timed out and count as under way, at most.
MOST_TIMED_OUT: Final = 10

#: Seconds for which an attempt that was given up counts as under way at most.
HELD_SECONDS: Final = 30.0

#: Seconds for which an instance that was just started gets one request at a time: it is probably still cold,
#: so that more of them would have to wait (the slow start of Envoy and HAProxy, in a simple form).
COLD_SECONDS: Final = 5.0

#: After an answer, such an instance gets no request for so many times as long as the answer took. Otherwise
#: it would slow down several percent of the requests to a service that gets few.
_COLD_RESTS: Final = 9.0

#: The extra load of such an instance meanwhile: more than other instances usually have under way, and less
#: than failures count.
_COLD_LOAD: Final = 10.0

#: Seconds for which a Retry-After header counts at most.
LONGEST_RETRY_AFTER: Final = 300.0

#: The penalty for one failure, and the most for all of them together.
_ONE: Final = 5.0
_MOST: Final = 1000.0

#: Seconds in which a penalty halves, and the penalty below which it counts as 0: one failure is forgotten
#: after 3 seconds, the largest penalty after 11.
_HALF_LIFE: Final = 1.0
_LEAST: Final = 0.5


class Trouble:
    """The failures of one instance. An instance without any has no such object."""

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
        "recheck_at",
        "rested_at",
        "retry_at",
    )

    def __init__(self) -> None:
        self.cold_until = 0.0
        """Until when it gets one request at a time, because it has just been started."""
        self.rested_at = 0.0
        """When it gets the next one."""
        self.consecutive = 0
        """Failures since the last success."""
        self.failures = Window()
        """The failures of the last 5 to 10 seconds."""
        self.held = 0
        """Attempts that were given up, and still count as under way."""
        self.retry_at: float | None = None
        """When it may be probed next; None if it isn't avoided."""
        self.recheck_at = 0.0
        """When it may be probed again as possibly stalled; 0 if it wasn't since it was last readmitted."""
        self.ejections = 0
        """How many probes it has failed; they make the pauses between probes longer."""
        self.ejected_from: Service | None = None
        """The service from which it was ejected; None if it isn't ejected."""
        self.ejected_at = 0.0
        """When it was ejected."""
        self._held_until = 0.0
        self._penalty = 0.0
        self._penalised_at = 0.0

    def penalty(self, now: float) -> float:
        """Return the penalty for the failures: by how many requests each request under way counts more."""
        if not self._penalty:
            return 0.0
        age = now - self._penalised_at
        penalty = self._penalty if age <= 0.0 else self._penalty * 0.5 ** (age / _HALF_LIFE)
        if penalty < _LEAST:
            self._penalty = 0.0
            return 0.0
        return penalty

    def penalise(self, now: float, retry_after: float = 0.0) -> None:
        """Add the penalty for a failure at *now*; it begins to decay after *retry_after* seconds."""
        self._penalty = min(_MOST, self.penalty(now) + _ONE)
        until = now + min(retry_after, LONGEST_RETRY_AFTER)
        self._penalised_at = max(until, self._penalised_at)

    def double(self) -> None:
        """Double the penalty, because the instance can't be ejected: too many others are."""
        self._penalty = min(_MOST, 2.0 * self._penalty)

    def forgive(self) -> None:
        """Forget the failures."""
        self.failures.clear()
        self._penalty = 0.0

    def hold(self, now: float, *, timed_out: bool = False) -> None:
        """Count an attempt that was given up as under way.

        Of those that *timed_out* only some count, because failures eject a stalled instance. If an overloaded
        one counted hundreds, it would get no request that shows when it is idle again.
        """
        if not timed_out or self.held < MOST_TIMED_OUT:
            self.held += 1
        self._held_until = now + HELD_SECONDS

    def rest(self, now: float, seconds: float) -> None:
        """Let an instance that is probably cold pause after an answer that took so many *seconds*."""
        self.rested_at = now + _COLD_RESTS * seconds

    def load(self, outstanding: int, now: float) -> float:
        """Return the load of an instance that has *outstanding* requests under way."""
        load = float(outstanding + self.holding(now))
        if now < self.cold_until and (outstanding or now < self.rested_at):
            load += _COLD_LOAD
        return (load + 1) * (1.0 + self.penalty(now)) - 1.0

    def holding(self, now: float) -> int:
        """Return the number of given-up attempts that count as under way at *now*."""
        if self.held and now >= self._held_until:
            self.held = 0
        return self.held

    def is_over(self, now: float) -> bool:
        """Tell whether all of it is over, so that this object can be dropped."""
        return (
            self.retry_at is None
            and not self.held
            and now >= self.cold_until
            and not self.consecutive
            and not self.penalty(now)
            and not self.failures.total(now)
        )
