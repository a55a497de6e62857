"""Whether a request may be sent again after a failed attempt, and with which error it ends; pure.

The rule: as long as no byte of the request was sent, or the receiver says that it didn't process it, any
other instance is as good. Otherwise the instance may have acted on it, so only requests that may be processed
twice are repeated (RFC 9110, section 9.2.2; the ``Idempotency-Key`` header allows it for other methods), and
only a few times. After a time-out nothing is repeated: the instance may be at work still, and repetitions are
what keeps an overloaded service overloaded. A body that can't be sent again isn't.
"""

from enum import Enum, auto
from typing import Final

from peerage.balancing import Outcome

#: Methods that may be processed twice; aiohttp repeats the same ones.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})

#: The header by which a caller says that a request of another method may be processed twice.
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

#: How often a request may be repeated after bytes of it were sent.
REPLAYS: Final = 2

#: Whatever the method, the request may be sent to another instance.
_UNPROCESSED: Final = frozenset({Outcome.UNRESOLVED, Outcome.CONNECT_FAILED, Outcome.MISDIRECTED})


class Ending(Enum):
    """How a call ends for which there is nothing left to try."""

    NOT_DISCOVERED = auto()
    """No instance can be called by that name."""
    UNREACHABLE = auto()
    """Instances are known, and none could be reached."""
    AS_IT_IS = auto()
    """The caller gets the error of the last attempt."""


def may_repeat(outcome: Outcome, *, idempotent: bool, replayable: bool, replays: int) -> bool:
    """Tell whether the request may be sent to another instance.

    Args:
        outcome: how the attempt ended.
        idempotent: whether it does no harm if two instances process the request.
        replayable: whether the body can be sent again.
        replays: how often it was repeated already after bytes had been sent.
    """
    if not replayable:
        return False
    if outcome in _UNPROCESSED:
        return True
    return outcome is Outcome.CONNECTION_LOST and idempotent and replays < REPLAYS


def ending_of(outcome: Outcome, *, method: str, replays: int) -> Ending:
    """Return how a call ends whose last attempt ended with *outcome*.

    An error that aiohttp would repeat above us must not reach it as what it is, or each attempt would be made
    twice. An error that only this attempt has seen, or that is the caller's own time limit, must.
    """
    if outcome in _UNPROCESSED:
        return Ending.UNREACHABLE
    if outcome is Outcome.CONNECTION_LOST and (method in IDEMPOTENT or replays):
        return Ending.UNREACHABLE
    return Ending.AS_IT_IS
