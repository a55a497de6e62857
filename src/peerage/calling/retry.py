"""Whether a request may be sent again after a failed attempt, and with which error it ends; pure.

As long as no byte of the request was sent, or the receiver says that it didn't process it, any other instance
is as good. Otherwise the instance may have acted on it, so only requests that may be processed twice are
repeated (RFC 9110, section 9.2.2; the ``Idempotency-Key`` header allows it for other methods), only a few
times, and only within the :class:`~peerage.balancing.RetryBudget` of the service. After a time-out only
requests that change nothing are: a stopped instance that goes on later carries out what it was sent, and
would overwrite with an old PUT what a newer one has written meanwhile. A request that is itself made for a
repetition isn't repeated, or each layer of services would multiply the requests of the one above. A body that
can't be sent again isn't.
"""

from enum import Enum, IntEnum, auto
from typing import Final

from peerage.balancing import Outcome

#: Methods that change nothing.
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: Methods that may be processed twice; aiohttp repeats the same ones.
IDEMPOTENT: Final = SAFE | {"PUT", "DELETE"}

#: The header by which a caller says that a request of another method may be processed twice.
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

#: How often a request may be repeated after bytes of it were sent.
REPLAYS: Final = 2

#: Whatever the method, the request may be sent to another instance; the service has done nothing for it.
_FREE: Final = frozenset({Outcome.UNRESOLVED, Outcome.CONNECT_FAILED, Outcome.MISDIRECTED})


class Repeatable(IntEnum):
    """How often it does no harm to process a request."""

    ONCE = 0
    """It changes something each time."""
    IDEMPOTENT = 1
    """Processing it again at once changes nothing more; processing it later may undo what came between."""
    SAFE = 2
    """It changes nothing, or its ``Idempotency-Key`` lets the service know it again."""

    @classmethod
    def of(cls, method: str, *, has_key: bool = False) -> "Repeatable":
        """Return what holds for a request, by its method and whether it has an idempotency key."""
        return cls.SAFE if has_key else _OF_METHOD.get(method, _ONCE)


_ONCE: Final = Repeatable.ONCE
_OF_METHOD: Final = {
    **dict.fromkeys(IDEMPOTENT, Repeatable.IDEMPOTENT),
    **dict.fromkeys(SAFE, Repeatable.SAFE),
}


class Ending(Enum):
    """How a call ends for which there is nothing left to try."""

    NOT_DISCOVERED = auto()
    """No instance can be called by that name."""
    UNREACHABLE = auto()
    """Instances are known, and none could be reached."""
    TOO_LATE = auto()
    """Its deadline has passed."""
    AS_IT_IS = auto()
    """The caller gets the error or the answer of the last attempt."""


def needs_budget(outcome: Outcome) -> bool:
    """Tell whether a repetition after *outcome* is one request more for a service that got one already."""
    return outcome not in _FREE


def may_repeat(outcome: Outcome, repeatable: Repeatable, *, replayable: bool, replays: int) -> bool:
    """Tell whether the request may be sent to another instance, if the budget allows it.

    Args:
        outcome: how the attempt ended.
        repeatable: how often it does no harm to process the request.
        replayable: whether the body can be sent again.
        replays: how often it was repeated already after bytes had been sent.
    """
    if not replayable:
        return False
    if outcome in _FREE:
        return True
    if replays >= REPLAYS:
        return False
    if outcome is Outcome.OVERLOADED:
        return True
    if outcome is Outcome.TIMED_OUT:
        return repeatable is Repeatable.SAFE
    return outcome in {Outcome.CONNECTION_LOST, Outcome.UNAVAILABLE} and repeatable is not Repeatable.ONCE


def ending_of(outcome: Outcome, *, method: str, replays: int) -> Ending:
    """Return how a call ends whose last attempt ended with *outcome*.

    An error that aiohttp would repeat above us must not reach it as what it is, or each attempt would be made
    twice. An error that only this attempt has seen, or that is the caller's own time limit, must. So must an
    answer.
    """
    if outcome in _FREE:
        return Ending.UNREACHABLE
    if outcome is Outcome.CONNECTION_LOST and (method in IDEMPOTENT or replays):
        return Ending.UNREACHABLE
    return Ending.AS_IT_IS
