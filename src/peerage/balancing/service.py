"""What the balancer remembers about the instances of one name together."""

from typing import TYPE_CHECKING

from peerage.balancing.budget import RetryBudget

if TYPE_CHECKING:
    from peerage.balancing.choices import Choices
    from peerage.balancing.hedging import Hedging


class Service:
    """The instances that answer to one logical name."""

    __slots__ = ("answered_at", "budget", "choices", "ejected", "hedging", "outstanding", "size")

    def __init__(self) -> None:
        self.budget = RetryBudget()
        """Requests that may be repeated."""
        self.answered_at = float("-inf")
        """When one of them last answered a request, in seconds of the balancer's clock."""
        self.ejected: set[str] = set()
        """Names of the records of those that are ejected."""
        self.hedging: Hedging | None = None
        """When requests are hedged; None if none was so far."""
        self.outstanding = 0
        """Requests under way at all of them."""
        self.size = 0
        """The number of instances at the last request."""
        self.choices: Choices | None = None
        """What was computed of them at the last request."""
