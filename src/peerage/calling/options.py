"""What may be chosen for calls, for all of a Discovery, for those of a session, or for one."""

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

    repeat: bool = True
    """Whether a request is repeated that an instance may have processed, if that does no harm.

    What no instance has processed is the affair of *failover*."""
    failover: bool = True
    """Whether a request is sent to another instance that none has processed, because no connection could be
    made or the receiver says so."""
    failures: Collection[int | str] = FAILURES
    """What counts against an instance: statuses from 400 on, ``"connection_lost"`` and ``"timed_out"``.

    An answer whose status isn't among them is one like any other, which the caller gets. After 429 a request
    isn't repeated."""
    notice_stopped: bool = True
    """Whether an instance is probed when a request waits there while others are answered. If it doesn't pass
    the probe, it is avoided, and the request may get a second attempt."""
    back_up: bool = True
    """Whether a request that changes nothing gets a second attempt if its instance seems stopped."""
    hedge: bool = False
    """Whether a request that changes nothing is sent to a second instance if it takes longer than usual."""
    wait: float = 5.0
    """Seconds that a call waits for an instance of a name that had one within the last minute; 0 for none."""
    deadline: float | None = None
    """Seconds after which each call is given up, its response included, and its services are told.

    None: only by :func:`peerage.deadline`, which limits a whole block; the smaller of both holds. A redirect
    is another call."""
    near: bool = True
    """Whether instances on this host are preferred, then those on this node, then those at this site."""
    key: str | None = None
    """Calls with the same key, a tenant or the beginning of a prompt, go to the same instance, which may have
    it in a cache, as long as that is healthy and has at most 1.25 times the mean load. Replaces *near* and
    *subset*."""
    subset: int | None = None
    """How many instances of a service this process uses, if the service has more than 100."""
    score: Score | None = None
    """Which of two instances gets the request; None: the Discovery says it."""

    def __post_init__(self) -> None:
        """Check what can't be typed, or often isn't.

        Raises:
            ConfigurationError: *key* is no text, *subset* is less than 1, or *failures* are none.
        """
        if self.failures is not FAILURES:
            wrong = [each for each in self.failures if not _is_failure(each)]
            if wrong:
                raise ConfigurationError(
                    f"failures={wrong!r} aren't failures: give statuses from 400 on, 'connection_lost' and "
                    "'timed_out'."
                )
        if self.key is not None and not isinstance(self.key, str):
            raise ConfigurationError(f"key={self.key!r} is no text: write key=str(...).")
        if self.subset is not None and self.subset < 1:
            raise ConfigurationError(f"subset={self.subset} is no number of instances: give 20, for example.")


def _is_failure(value: int | str) -> bool:
    return value in FAILURES or (isinstance(value, int) and LEAST_FAILURE <= value <= _LARGEST_STATUS)


class CallFields(TypedDict, total=False):
    """The fields of :class:`CallOptions`."""

    repeat: bool
    failover: bool
    failures: Collection[int | str]
    notice_stopped: bool
    back_up: bool
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
    """Choose fields of :class:`CallOptions` for the calls in a block, its tasks included.

    ::

        with peerage.call_options(repeat=False):
            await session.put("http://orders.service_id.asab/v1/orders/7", json=order)
    """
    # Refused here, where the mistake is, and not at the first call.
    replace(CallOptions(), **fields)
    token = _changes.set({**(_changes.get() or {}), **fields})
    try:
        yield
    finally:
        _changes.reset(token)


def current_options(options: CallOptions) -> CallOptions:
    """Return *options* with what :func:`call_options` changed."""
    changes = _changes.get()
    return options if changes is None else replace(options, **changes)
