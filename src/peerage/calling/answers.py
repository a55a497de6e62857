"""What the status of an answer means for the decisions about a request; pure."""

from collections.abc import Mapping
from typing import Final

from peerage.balancing import Outcome
from peerage.balancing.outcome import ANSWERED
from peerage.calling.misdirected import is_marked

#: Answers below this status are never failures.
_LEAST_FAILURE: Final = 421

#: The response header that marks a 503 of a server that didn't process the request.
OVERLOADED: Final = "Peerage-Overloaded"

#: The response header in which a server says how many requests are under way there.
LOAD: Final = "Peerage-Load"

_TOO_MANY_REQUESTS: Final = 429
_SERVICE_UNAVAILABLE: Final = 503

#: The instance, or what it depends on, can't answer at the moment; another may.
_UNAVAILABLE: Final = frozenset({502, _SERVICE_UNAVAILABLE, 504})


def outcome_of_answer(status: int, headers: Mapping[str, str]) -> Outcome:
    """Return how an attempt ended that was answered with *status*."""
    if status < _LEAST_FAILURE:
        return ANSWERED
    if is_marked(status, headers):
        return Outcome.MISDIRECTED
    if status == _SERVICE_UNAVAILABLE and OVERLOADED in headers:
        return Outcome.OVERLOADED
    if status in _UNAVAILABLE:
        return Outcome.UNAVAILABLE
    return Outcome.THROTTLED if status == _TOO_MANY_REQUESTS else ANSWERED


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds for which the server asked not to be called; 0 if it didn't (RFC 9110, 10.2.3).

    A date counts as 0: the clocks of two hosts may differ by more than it is meant to say.
    """
    return float(_number(headers, "Retry-After") or 0)


def reported_requests(headers: Mapping[str, str]) -> int | None:
    """Return how many requests a server says are under way there; None if it doesn't say."""
    return _number(headers, LOAD)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004 - digits
