"""What may be chosen for calls, for all of a Discovery, for those of a session, or for one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, TypedDict, Unpack

from peerage.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How calls deal with failures, and which instances they prefer."""

    repeat: bool = True
    """Whether a request is repeated that an instance may have processed, if that does no harm.

    What no instance has processed is sent to another one in any case."""
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

    def __post_init__(self) -> None:
        """Check what can't be typed, or often isn't.

        Raises:
            ConfigurationError: *key* is no text, or *subset* is less than 1.
        """
        if self.key is not None and not isinstance(self.key, str):
            raise ConfigurationError(f"key={self.key!r} is no text: write key=str(...).")
        if self.subset is not None and self.subset < 1:
            raise ConfigurationError(f"subset={self.subset} is no number of instances: give 20, for example.")


class CallFields(TypedDict, total=False):
    """The fields of :class:`CallOptions`."""

    repeat: bool
    back_up: bool
    hedge: bool
    wait: float
    near: bool
    key: str | None
    subset: int | None
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
