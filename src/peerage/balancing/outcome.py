"""The outcomes of an attempt to send a request to an instance."""

from enum import Enum, auto
from typing import Final


class Outcome(Enum):
    """How one attempt at one instance ended, for any HTTP library."""

    ANSWERED = auto()
    """A response arrived that is no failure. The attempt lasts until its body has been read or given up."""
    UNRESOLVED = auto()
    """No host of the instance has an address that may be called, so nothing was sent."""
    CONNECT_FAILED = auto()
    """No connection could be made, so nothing of the request was sent."""
    CONNECTION_LOST = auto()
    """The connection broke before a response arrived; the instance may have processed the request."""
    TIMED_OUT = auto()
    """No response arrived within the caller's time limit; the instance may still process the request."""
    UNAVAILABLE = auto()
    """It was answered with 502 or 503, or not with HTTP; the instance may have processed it."""
    GATEWAY_TIMEOUT = auto()
    """It was answered with 504: a service that the instance called may still process the request."""
    THROTTLED = auto()
    """It was answered with 429: the caller sends too many requests."""
    OVERLOADED = auto()
    """The instance says that it didn't process the request, because too many are under way there."""
    MISDIRECTED = auto()
    """Another service answered, and says that it didn't process the request."""
    OUT_OF_RESOURCES = auto()
    """This process or machine has no descriptor, port or memory left for another connection."""
    NOT_RETRYABLE = auto()
    """It failed for a reason that is the same at every instance; the caller gets the error as it is."""
    UNUSED = auto()
    """The instance was chosen, and no attempt was made."""
    CANCELLED = auto()
    """The attempt was given up: the caller was cancelled, or the other one of two attempts was answered."""


#: The outcome of most attempts. In Python 3.11 looking up a member by its name takes ten times as long.
ANSWERED: Final = Outcome.ANSWERED
