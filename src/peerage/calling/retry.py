"""Whether a request may be sent again after a failed attempt, and with which error a call ends; pure.

If no byte of the request was sent, or another service answered that it didn't process the request, another
instance gets it: a failover, which is free. Otherwise sending it again is a retry, a few times at most and
only within the :class:`~peerage.balancing.RetryBudget` of the service. A request that an overloaded instance
declined may be retried whatever its method. If an instance may have processed it, only a request that may be
processed twice is retried (RFC 9110, section 9.2.2; the ``Idempotency-Key`` header allows it for other
methods). After a time-out, of the caller or of an instance that calls others (504), only safe requests are
retried: a stopped instance that resumes carries out what it was sent, and an old PUT would then overwrite
what a newer one has written. A call made by the handler of a retry isn't retried, or each layer of services
would multiply the requests of the layer above. Neither is a request whose body can't be sent again.
"""

from enum import Enum, IntEnum, auto
from typing import Final

from peerage.balancing import Outcome

#: Safe methods: they change nothing (RFC 9110, section 9.2.1).
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

#: Methods that may be processed twice; aiohttp retries the same ones.
IDEMPOTENT: Final = SAFE | {"PUT", "DELETE"}

#: The header by which a caller says that a request of another method may be processed twice.
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

#: How often one call may be retried.
MOST_RETRIES: Final = 2

#: The request wasn't processed and cost the service nothing, so another instance may get it, whatever the
#: method.
_FREE: Final = frozenset({Outcome.UNRESOLVED, Outcome.CONNECT_FAILED, Outcome.MISDIRECTED})

#: The instance, or a service that it called, may still process the request.
_UNFINISHED: Final = frozenset({Outcome.TIMED_OUT, Outcome.GATEWAY_TIMEOUT})

#: Why no request is sent again after these outcomes. The caller gets the error or the answer as it is.
_FINAL: Final = {
    Outcome.THROTTLED: "429 asks for fewer requests",
    Outcome.NOT_RETRYABLE: "another instance wouldn't help",
    Outcome.OUT_OF_RESOURCES: "this process or host has no descriptor, port or memory left",
    Outcome.CANCELLED: "its deadline has passed at the instance",
    Outcome.ANSWERED: "it was answered",
    Outcome.UNUSED: "it wasn't sent",
}


class Repeatable(IntEnum):
    """Whether a request may be processed more than once without harm."""

    ONCE = 0
    """It may not: it changes something each time."""
    IDEMPOTENT = 1
    """At once it may, since nothing more changes; later it may not, as it could undo newer changes."""
    SAFE = 2
    """It may at any time: it changes nothing, or the service recognises its ``Idempotency-Key``."""

    @classmethod
    def of(cls, method: str, *, has_key: bool = False) -> "Repeatable":
        """Return the member for a request with this method; *has_key*: it has an idempotency key."""
        return cls.SAFE if has_key else _OF_METHOD.get(method, _ONCE)


_ONCE: Final = Repeatable.ONCE
_OF_METHOD: Final = {
    **dict.fromkeys(IDEMPOTENT, Repeatable.IDEMPOTENT),
    **dict.fromkeys(SAFE, Repeatable.SAFE),
}


class Ending(Enum):
    """How a call ends when there is nothing left to try."""

    NOT_DISCOVERED = auto()
    """No instance can be called by that name."""
    UNREACHABLE = auto()
    """Instances are known, and none could be reached."""
    TOO_LATE = auto()
    """Its deadline has passed."""
    AS_IT_IS = auto()
    """The caller gets the error or the answer of the last attempt."""


def needs_budget(outcome: Outcome) -> bool:
    """Tell whether sending the request again after *outcome* must be paid for from the retry budget."""
    return outcome not in _FREE


def why_not_again(outcome: Outcome, repeatable: Repeatable, *, replayable: bool, retries: int) -> str:
    """Return why the request may not be sent to another instance; empty if it may, as far as the budget goes.

    Args:
        outcome: how the attempt ended.
        repeatable: whether the request may be processed more than once.
        replayable: whether the body can be sent again.
        retries: how often the call was retried already.
    """
    if outcome in _FREE or not replayable:
        return "" if replayable else "its body can't be sent again"
    if (reason := _FINAL.get(outcome)) is not None:
        return reason
    if retries >= MOST_RETRIES:
        return f"it was retried {MOST_RETRIES} times already"
    if outcome in _UNFINISHED:
        return "" if repeatable is Repeatable.SAFE else "the instance may still process it"
    may = outcome is Outcome.OVERLOADED or repeatable is not Repeatable.ONCE
    return "" if may else "the instance may have processed it"


def ending_of(outcome: Outcome, *, method: str, retries: int) -> Ending:
    """Return how a call ends whose last attempt ended with *outcome*.

    aiohttp itself retries some requests after a lost connection. It must not see such an error, or it would
    make the whole call again: the call ends as ``UNREACHABLE`` instead. The caller gets answers and all other
    errors as they are.
    """
    if outcome in _FREE:
        return Ending.UNREACHABLE
    if outcome is Outcome.CONNECTION_LOST and (method in IDEMPOTENT or retries):
        return Ending.UNREACHABLE
    return Ending.AS_IT_IS
