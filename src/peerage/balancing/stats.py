"""What the balancer remembers about one instance."""

from math import exp
from typing import Final

from peerage.balancing.trouble import Trouble
from peerage.balancing.window import Window

#: The time constant of the moving average of the latency, in seconds.
_DECAY: Final = 10.0


class Stats:
    """Figures about the requests to one instance."""

    __slots__ = (
        "answered_at",
        "latency",
        "outstanding",
        "position",
        "reported",
        "reported_at",
        "retired",
        "successes",
        "trouble",
        "vanished",
    )

    def __init__(self, position: float = 0.0) -> None:
        self.outstanding = 0
        """Requests under way."""
        self.answered_at = float("-inf")
        """When a request was last answered, in seconds of the balancer's clock."""
        self.latency: float | None = None
        """Seconds from an attempt to its answer: a moving average that rises at once; None at first."""
        self.position = position
        """The requests given to it, divided by its weight; only differences between instances matter."""
        self.reported = 0.0
        """Requests under way there, as it reported them with its last answer."""
        self.reported_at = float("-inf")
        """When it last reported them, in seconds of the balancer's clock."""
        self.successes = Window()
        """Requests of the last 5 to 10 seconds that succeeded and were answered to the end."""
        self.trouble: Trouble | None = None
        """What went wrong there lately; None if nothing did."""
        self.retired = False
        """Whether its record was removed, so that these figures are dropped with its last request."""
        self.vanished = False
        """Whether it didn't drain before that, or can't be reached any more, so that it is probably dead."""

    def begin_trouble(self) -> Trouble:
        """Return what went wrong there lately; a new, empty object if nothing did."""
        trouble = self.trouble
        if trouble is None:
            trouble = self.trouble = Trouble()
        return trouble

    def answered(self, seconds: float, now: float) -> None:
        """Record that a request was answered at *now*, after *seconds*."""
        latency, passed = self.latency, now - self.answered_at
        self.answered_at = now
        if latency is None or seconds >= latency:
            self.latency = seconds
        else:
            # For short times this is close to an exponential decay, and costs less.
            share = passed / (passed + _DECAY) if passed < 1.0 else 1.0 - exp(-passed / _DECAY)
            self.latency = latency + (seconds - latency) * share

    def expected_latency(self, now: float) -> float:
        """Return the latency to be expected at *now*; without answers it falls to 0."""
        latency, age = self.latency, now - self.answered_at
        if latency is None:
            return 0.0
        return latency * exp(-age / _DECAY) if age > 0.0 else latency

    def load(self, now: float) -> float:
        """Return the number of requests under way, increased by the penalty for failures."""
        trouble = self.trouble
        return self.outstanding if trouble is None else trouble.load(self.outstanding, now)

    def pending(self, now: float) -> int:
        """Return the number of requests under way, including given-up ones that may still be processed."""
        trouble = self.trouble
        return self.outstanding if trouble is None else self.outstanding + trouble.holding(now)
