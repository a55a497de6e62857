"""What the balancer remembers about all instances of one name together."""

from typing import TYPE_CHECKING, Final

from peerage.balancing.budget import RetryBudget
from peerage.balancing.counts import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peerage.balancing.choices import Choices
    from peerage.balancing.hedging import Hedging
    from peerage.records.instance import Instance

#: If all instances fail too often within so many seconds, none is ejected for as long.
PANIC_SECONDS: Final = 5.0


class Service:
    """The instances that answer to one logical name."""

    __slots__ = (
        "answered_at",
        "budget",
        "choices",
        "ejected",
        "hedging",
        "not_avoided",
        "outstanding",
        "panic_until",
        "size",
        "tally",
        "tripped",
    )

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = Tally() if tally is None else tally
        """What happened to their calls."""
        self.budget = RetryBudget()
        """How many requests may be retried, or get a backup."""
        self.answered_at = float("-inf")
        """When an instance last answered a request, in seconds of the balancer's clock."""
        self.ejected: set[str] = set()
        """The names of the records of the ejected instances."""
        self.tripped: dict[str, float] = {}
        """When each instance that couldn't be ejected last failed too often, by the name of its record."""
        self.panic_until = 0.0
        """Until when no instance is ejected, because all fail too often."""
        self.hedging: Hedging | None = None
        """When requests are hedged; None if hedging was never chosen."""
        self.outstanding = 0
        """Requests under way at all instances."""
        self.size = 0
        """The number of instances at the last request."""
        self.not_avoided: tuple[Sequence[Instance], object, Sequence[Instance]] | None = None
        """A list of instances, the state of both, and those that weren't avoided in that state."""
        self.choices: Choices | None = None
        """What was computed from the instances at the last request."""

    def all_trip(self, name: str, now: float) -> bool:
        """Take note that an instance fails too often and can't be ejected; tell whether all did so lately.

        If they are overloaded together, ejecting some of them would leave the others with even more requests.
        """
        self.tripped[name] = now
        self.tripped = {each: at for each, at in self.tripped.items() if at > now - PANIC_SECONDS}
        return len(self.tripped.keys() | self.ejected) >= self.size
