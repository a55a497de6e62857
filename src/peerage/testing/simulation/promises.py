"""What is promised in figures, and what tells that a promise was broken."""

from dataclasses import dataclass
from typing import NamedTuple

from peerage.balancing.budget import FIRST_RETRIES, RETRY_SHARE
from peerage.calling.retry import MOST_RETRIES
from peerage.directory import SUSPECT_SECONDS
from peerage.testing.simulation.history import Life


@dataclass(frozen=True, slots=True)
class Promises:
    """The figures in what is promised."""

    session_timeout: float = 10.0
    """Seconds after which a registry removes the records of a process that it doesn't hear of."""
    reaction: float = 1.0
    """Seconds from when the registry is certain until each directory is."""
    suspect_seconds: float = SUSPECT_SECONDS
    """Seconds for which an instance may stay known although its record vanished."""
    first_retries: int = FIRST_RETRIES
    retry_share: float = RETRY_SHARE
    most_retries: int = MOST_RETRIES
    attempt_seconds: float = 0.1
    """Seconds that one more attempt would take: a call with less time left may fail."""
    patience: float = 10.0
    """Seconds in which a safe call finds an instance that answers, if it knows one: it may have to notice
    that the first one has stopped."""

    @property
    def settling(self) -> float:
        """Seconds after the last change or fault until each directory equals the truth."""
        return self.session_timeout + self.reaction


class Violation(NamedTuple):
    """A promise that wasn't kept."""

    at: float
    invariant: str
    """Which one, see :data:`peerage.testing.simulation.checker.INVARIANTS`."""
    message: str

    def __str__(self) -> str:
        return f"{self.at:.3f} s: {self.invariant}: {self.message}"


def describe(life: Life) -> str:
    """Return what an instance is called in messages."""
    told = life.advertised
    return f"{told.instance} of {told.service} at {told.address} ({told.nonce})"
