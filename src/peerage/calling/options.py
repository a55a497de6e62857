"""Options for calls: of a Discovery, of a session, or of the calls in a block."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict, Unpack

from peerage.balancing.scores import Score
from peerage.calling.answers import FAILURES, LEAST_FAILURE
from peerage.errors import ConfigurationError

#: The largest status that HTTP has.
_LARGEST_STATUS: Final = 599


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How calls deal with failures, and which instances they prefer."""

    retry: bool = True
    """Whether a request is retried after an instance may have processed it, where that does no harm.

    *failover* is for requests that were certainly not processed."""
    failover: bool = True
    """Whether a request that no instance has processed, because no connection could be made or the receiver
    says so, is sent to another instance."""
    failures: Collection[int | str] = FAILURES
    """What counts as a failure of the instance: statuses from 400 on, ``"connection_lost"`` and
    ``"timed_out"``.

    The caller gets an answer with any other status as it is. A request that was answered with 429 isn't
    retried."""
    detect_stalled: bool = True
    """Whether an instance is probed when a request waits there while others are answered. If the instance
    fails the probe, it is avoided, and a safe request that waits there may get a backup."""
    backup: bool = True
    """Whether a safe request gets a backup, a second attempt elsewhere, when its instance has stalled."""
    hedge: bool = False
    """Whether a safe request gets a backup when its answer takes longer than usual."""
    wait: float = 5.0
    """Seconds that a call waits for an instance if the name lost its last one within the last minute, or if
    none can be reached, one refuses connections, and one answered within the last minute; 0: it fails at
    once."""
    deadline: float | None = None
    """Seconds after which each call is given up, the reading of its response included. The time that is left
    is passed on to the service that is called.

    None: no limit but that of :func:`peerage.deadline`, which covers a whole block. If both are set, the one
    that ends first counts. A redirect begins another call."""
    near: bool = True
    """Whether instances on this host are preferred, then those on this node, then those at this site."""
    key: str | None = None
    """Calls with the same key, such as a tenant or the beginning of a prompt, go to the same instance, so
    that its cache can serve them, as long as that instance is healthy and has at most 1.25 times the mean
    load. With a key, *near* and *subset* are ignored."""
    subset: int | None = None
    """How many instances of a service this process uses, if the service has more than 100."""
    score: Score | None = None
    """Which of two instances gets the request; None: by the score of the Discovery."""

    def __post_init__(self) -> None:
        """Check the values that a type checker can't, or that are often given untyped.

        Raises:
            ConfigurationError: *key* isn't a text, *subset* is less than 1, *wait* isn't a time, or
                *failures* can't be failures.
        """
        if self.failures is not FAILURES:
            wrong = [each for each in self.failures if not _is_failure(each)]
            if wrong:
                raise ConfigurationError(
                    f"failures={wrong!r} aren't failures: give statuses from 400 on, 'connection_lost' and "
                    "'timed_out'."
                )
        if self.key is not None and not isinstance(self.key, str):
            raise ConfigurationError(f"key={self.key!r} isn't a text: write key=str(...).")
        # Otherwise it would be found out when the last instance of a name is gone.
        wait: object = self.wait
        if not isinstance(wait, int | float) or not wait >= 0:
            raise ConfigurationError(f"wait={wait!r} isn't a time: give seconds, and 0 for not at all.")
        if self.subset is not None and self.subset < 1:
            raise ConfigurationError(f"subset={self.subset} must be at least 1: give 20, for example.")


def _is_failure(value: int | str) -> bool:
    return value in FAILURES or (isinstance(value, int) and LEAST_FAILURE <= value <= _LARGEST_STATUS)


class CallFields(TypedDict, total=False):
    """The fields of :class:`CallOptions`."""

    retry: bool
    failover: bool
    failures: Collection[int | str]
    detect_stalled: bool
    backup: bool
    hedge: bool
    wait: float
    near: bool
    key: str | None
    subset: int | None
    score: Score | None
    deadline: float | None


_changes: ContextVar[dict[str, Any] | None] = ContextVar("call_options", default=None)


@contextmanager
def call_options(**fields: Unpack[CallFields]) -> Iterator[None]:
    """Set fields of :class:`CallOptions` for the calls in a block and in the tasks that it starts.

    ::

        with peerage.call_options(retry=False):
            await session.put("http://orders.service_id.asab/v1/orders/7", json=order)
    """
    # Wrong values raise here, where they are given, and not at the first call.
    replace(CallOptions(), **fields)
    token = _changes.set({**(_changes.get() or {}), **fields})
    try:
        yield
    finally:
        _changes.reset(token)


def current_options(options: CallOptions) -> CallOptions:
    """Return *options* with the changes made by :func:`call_options`."""
    changes = _changes.get()
    return options if changes is None else replace(options, **changes)
