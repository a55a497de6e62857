"""Pick one instance for a request; pure, synchronous, without I/O, clocks or randomness of its own."""

from peerage.balancing.balancer import Balancer
from peerage.balancing.policy import LeastOutstanding, Policy

__all__ = ["Balancer", "LeastOutstanding", "Policy"]
