"""When an instance that fails is ejected, and when it is probed.

The thresholds are those of Linkerd's unified circuit breaker (linkerd2-proxy): a number of failures in a row,
or too small a share of successes among the requests of the last seconds. Methods that compare instances with
each other (Envoy's outlier detection, gRPC's proposal A50) need more instances and requests than most
services have.
"""

from dataclasses import dataclass

from peerage.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Ejection:
    """The thresholds of ejection.

    Failures are the statuses 502, 503 and 504, answers that aren't HTTP, lost connections, and time-outs. A
    429 counts in the success rate only, and a 503 marked with ``Peerage-Overloaded`` in neither.
    """

    consecutive: int = 7
    """Failures in a row that eject an instance; 0 switches ejection off."""
    success_rate: float = 0.8
    """An instance is ejected if a smaller share of its requests in the last 5 to 10 seconds succeeded."""
    least_requests: int = 5
    """The success rate counts from so many requests on."""
    first_seconds: float = 1.0
    """Seconds until the first probe; each failed probe doubles them."""
    longest_seconds: float = 2.0
    """Seconds between two probes at most.

    Linkerd waits for up to 60 s, because there the request that probes fails if it is too early. Here it is
    retried elsewhere, so an early probe costs less than a late one."""
    jitter: float = 0.5
    """The share of those seconds that is random, so that callers don't all probe at the same moment."""
    most: float = 0.5
    """The largest share of the instances of a service that may be ejected at the same time."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigurationError: one is out of its range.
        """
        shares = (self.success_rate, self.jitter, self.most)
        if self.consecutive < 0 or not all(0 <= each <= 1 for each in shares):
            raise ConfigurationError(f"{self}: shares must be between 0 and 1, and 'consecutive' at least 0.")
        if not 0 < self.first_seconds <= self.longest_seconds:
            raise ConfigurationError(f"{self}: 'first_seconds' must be between 0 and 'longest_seconds'.")

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
        """Return the seconds until the next probe.

        Args:
            ejections: how many probes have failed in a row.
            chance: a random number from 0 to 1.
        """
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(ejections, 16))
        return longest * (1.0 - self.jitter * chance)

    def allows(self, ejected: int, instances: int) -> bool:
        """Tell whether one more of *instances* may be ejected if *ejected* are already."""
        return ejected + 1 <= self.most * instances
