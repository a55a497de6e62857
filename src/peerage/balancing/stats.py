"""What the balancer remembers about one instance."""

#: Weight of the newest latency in the moving average.
_NEWEST = 0.2


class Stats:
    """Figures about the requests to one instance, by the name of its record."""

    __slots__ = ("failures", "latency", "outstanding", "position", "retired", "retry_at")

    def __init__(self, position: float = 0.0) -> None:
        self.outstanding = 0
        """Requests under way."""
        self.failures = 0
        """Failed attempts since the last one that was answered."""
        self.latency: float | None = None
        """Moving average of the seconds that answered requests took; None before the first."""
        self.position = position
        """How many requests it was given, each divided by its weight; only differences mean something."""
        self.retry_at: float | None = None
        """When one request may try it again, because it accepted no connection; None if it isn't avoided."""
        self.retired = False
        """Whether its record was removed, so that it is forgotten with its last request."""

    def answered(self, seconds: float) -> None:
        """Record that a request was answered after so many seconds."""
        self.failures = 0
        latency = self.latency
        self.latency = seconds if latency is None else latency + _NEWEST * (seconds - latency)
