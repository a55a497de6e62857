"""What the status and the headers of an answer mean for the decisions about a request; pure."""

from collections.abc import Collection, Mapping
from typing import Final

from peerage.balancing import Outcome
from peerage.balancing.outcome import ANSWERED
from peerage.calling.deadline import TIMEOUT_MS
from peerage.calling.misdirected import DIALLED, is_marked

#: What counts as a failure of the instance, unless a caller chooses otherwise: statuses, and outcomes of
#: attempts without an answer. 502, 503 and 504 say that the instance, or a service that it depends on, can't
#: answer at the moment, so another instance may; 429 asks for fewer requests.
FAILURES: Final[frozenset[int | str]] = frozenset({"connection_lost", "timed_out", 429, 502, 503, 504})

#: Answers below this status are never failures.
LEAST_FAILURE: Final = 400

#: The response header that marks a 503 of a server that didn't process the request. Its value is what the
#: caller dialled, as for :func:`~peerage.calling.misdirected.is_marked`.
OVERLOADED: Final = "Peerage-Overloaded"

#: The response header in which a server says how many requests are under way there.
LOAD: Final = "Peerage-Load"

_TOO_MANY_REQUESTS: Final = 429
_SERVICE_UNAVAILABLE: Final = 503
_GATEWAY_TIMEOUT: Final = 504

_OF_STATUS: Final[Mapping[int, Outcome]] = {
    _TOO_MANY_REQUESTS: Outcome.THROTTLED,
    _GATEWAY_TIMEOUT: Outcome.GATEWAY_TIMEOUT,
}

#: The member of :data:`FAILURES` for each outcome that doesn't follow from a status alone.
_FAILURE_OF: Final[Mapping[Outcome, int | str]] = {
    Outcome.CONNECTION_LOST: "connection_lost",
    Outcome.TIMED_OUT: "timed_out",
    Outcome.OVERLOADED: _SERVICE_UNAVAILABLE,
}


def outcome_of_answer(
    status: int,
    headers: Mapping[str, str],
    sent: Mapping[str, str],
    failures: Collection[int | str] = FAILURES,
) -> Outcome:
    """Return the outcome of an attempt that was answered with *status*.

    Args:
        status: of the answer.
        headers: of the answer.
        sent: the headers of the request.
        failures: what counts as a failure.
    """
    if status < LEAST_FAILURE:
        return ANSWERED
    if is_marked(status, headers, sent):
        return Outcome.MISDIRECTED
    if status == _SERVICE_UNAVAILABLE and OVERLOADED in headers and headers[OVERLOADED] == sent.get(DIALLED):
        return Outcome.OVERLOADED
    if status == _GATEWAY_TIMEOUT and TIMEOUT_MS in headers:
        # The deadline has passed at the server, so it passes here at about the same time.
        return Outcome.CANCELLED
    if status not in failures:
        return ANSWERED
    return _OF_STATUS.get(status, Outcome.UNAVAILABLE)


def counts(outcome: Outcome, failures: Collection[int | str]) -> bool:
    """Tell whether an attempt that ended with *outcome* counts against its instance, by *failures*."""
    return failures is FAILURES or _FAILURE_OF.get(outcome) in {None, *failures}


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds for which the server asked not to be called; 0 if it didn't (RFC 9110, 10.2.3).

    A date counts as 0, because the clocks of two hosts may differ by more than the time that is meant.
    """
    return float(_number(headers, "Retry-After") or 0)


def reported_requests(headers: Mapping[str, str]) -> int | None:
    """Return how many requests a server says are under way there; None if it doesn't say."""
    return _number(headers, LOAD)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004 - digits
