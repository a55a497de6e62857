"""When an instance that answers badly gets no more requests, and when it is tried again.

The thresholds are those of Linkerd's unified circuit breaker (linkerd2-proxy): so many failures in a row, or
too few successes among the requests of the last seconds. The methods that compare instances with each other
(Envoy's outlier detection, gRPC's proposal A50) need more instances and requests than most services have.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ejection:
    """The thresholds; they count answers 502, 503 and 504 or without HTTP, lost connections, and time-outs.

    An answer 429 counts in the success rate only.
    """

    consecutive: int = 7
    """Failures in a row that eject an instance; 0 switches ejection off."""
    success_rate: float = 0.8
    """An instance is ejected when a smaller share of its requests succeeded in the last 5 to 10 seconds."""
    least_requests: int = 5
    """Requests below which the rate means nothing."""
    first_seconds: float = 1.0
    """Seconds until a request tries the instance again; each failure of such a request doubles them."""
    longest_seconds: float = 2.0
    """Seconds between such requests at most.

    Linkerd waits up to 60, but its requests fail if it is too early. Ours are repeated elsewhere, so an early
    return costs less than a late one."""
    jitter: float = 0.5
    """The share of those seconds that is left to chance, so that callers don't all try at the same moment."""
    most: float = 0.5
    """The share of the instances of a service that may be ejected."""

    def trips(self, consecutive: int, succeeded: int, failed: int) -> bool:
        """Tell whether an instance is to be ejected.

        Args:
            consecutive: failures since its last success.
            succeeded: successes in the window.
            failed: failures in the window.
        """
        if not self.consecutive:
            return False
        if consecutive >= self.consecutive:
            return True
        requests = succeeded + failed
        return requests >= self.least_requests and succeeded < self.success_rate * requests

    def pause(self, ejections: int, chance: float) -> float:
        """Return the seconds until the next try.

        Args:
            ejections: how often the instance was ejected before without a success.
            chance: a random number from 0 to 1.
        """
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(ejections, 16))
        return longest * (1.0 - self.jitter * chance)

    def allows(self, ejected: int, instances: int) -> bool:
        """Tell whether one more of so many instances may be ejected when *ejected* are already."""
        return ejected + 1 <= self.most * instances
