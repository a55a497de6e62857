"""How an attempt to send a request to an instance can end."""

from enum import Enum, auto
from typing import Final


class Outcome(Enum):
    """How one attempt at one instance ended, whatever HTTP library made it."""

    ANSWERED = auto()
    """A response arrived. The attempt lasts until its body has been read or given up."""
    UNRESOLVED = auto()
    """No host of the instance has an address that may be called, so no attempt was made."""
    CONNECT_FAILED = auto()
    """No connection could be made, so nothing of the request was sent."""
    CONNECTION_LOST = auto()
    """The connection broke before a response arrived; the instance may have processed the request."""
    TIMED_OUT = auto()
    """No response arrived within the caller's time limit; the instance may still process the request."""
    UNAVAILABLE = auto()
    """It was answered with 502, 503 or 504, or not with HTTP; the instance may have processed it."""
    THROTTLED = auto()
    """It was answered with 429: the caller sends too many requests."""
    OVERLOADED = auto()
    """The instance says that it didn't process the request, because it has too many."""
    MISDIRECTED = auto()
    """Another service answered, and says that it didn't process the request."""
    OUT_OF_RESOURCES = auto()
    """This process or machine has no descriptor, port or memory left for another connection."""
    NOT_RETRYABLE = auto()
    """It failed for a reason that another instance wouldn't mend; the caller gets the error as it is."""
    UNUSED = auto()
    """No attempt was made."""
    CANCELLED = auto()
    """The caller gave the request up."""


#: How most attempts end. In Python 3.11 the name of a member takes ten times as long to look up.
ANSWERED: Final = Outcome.ANSWERED
