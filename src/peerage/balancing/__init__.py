"""Choose the instance for a request; pure and synchronous: I/O, clock and randomness stay outside."""

from peerage.balancing.balancer import Balancer, Pick
from peerage.balancing.outcome import Outcome
from peerage.balancing.scores import Score, least_outstanding
from peerage.balancing.stats import Stats

__all__ = ["Balancer", "Outcome", "Pick", "Score", "Stats", "least_outstanding"]
