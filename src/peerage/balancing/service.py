"""What the balancer remembers about all instances of one name together."""

from typing import TYPE_CHECKING

from peerage.balancing.budget import RetryBudget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peerage.balancing.choices import Choices
    from peerage.balancing.hedging import Hedging
    from peerage.records.instance import Instance


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
        "size",
    )

    def __init__(self) -> None:
        self.budget = RetryBudget()
        """How many requests may be retried, or get a backup."""
        self.answered_at = float("-inf")
        """When an instance last answered a request, in seconds of the balancer's clock."""
        self.ejected: set[str] = set()
        """The names of the records of the ejected instances."""
        self.hedging: Hedging | None = None
        """When requests are hedged; None if hedging was never chosen."""
        self.outstanding = 0
        """Requests under way at all instances."""
        self.size = 0
        """The number of instances at the last request."""
        self.not_avoided: tuple[Sequence[Instance], object, Sequence[Instance]] | None = None
        """Some of its instances, their state, and those of them that weren't avoided then."""
        self.choices: Choices | None = None
        """What was computed from the instances at the last request."""
