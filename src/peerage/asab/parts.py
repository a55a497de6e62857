"""What starts with an application and ends with it, and in which order."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Floor", "Part", "part_of"]


class Floor(IntEnum):
    """When a part is initialized: lower floors first.

    The parts of this layer itself stand on floors of their own, so that a user's service finds discovery
    working in its ``initialize()`` and until the end of its ``finalize()``, in whatever order they were made.
    If one of these can't start, the application ends. Their ``initialize()`` must not wait for the network.

    At the end: API is drained, and WEB once main() is over; USER and WEB are finalized at the same time; then
    API, DISCOVERY and ZOOKEEPER.
    """

    ZOOKEEPER = 1
    """Sessions."""
    DISCOVERY = 2
    """Watches and calls."""
    API = 3
    """Advertises. Drained first, so that others hear that no new requests are wanted."""
    MODULE = 4
    """The modules of the program."""
    USER = 5
    """Its services."""
    WEB = 6
    """Listens once all routes are there. Drained after main(), so that requests under way are finished."""

    @property
    def own(self) -> bool:
        """Whether it is there before anything of the program's and until after it."""
        return self <= Floor.API


Step = Callable[["Application"], Awaitable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Something with a life within the application's: a service, or a container.

    Args:
        name: for the log.
        floor: when it is initialized.
        initialize: starts it.
        finalize: ends it; called even if *initialize* failed or was never called.
        drain: called after the application was asked to stop, before anything is finalized.
    """

    name: str
    floor: Floor
    initialize: Step
    finalize: Step
    drain: Step | None = None


def part_of(service: Any) -> Part:
    """Return *service* as a part.

    It stands on floor USER unless it has an attribute ``peerage_floor``; such a service may have a coroutine
    method ``drain(app)``.
    """
    floor = getattr(service, "peerage_floor", Floor.USER)
    drain = None if floor is Floor.USER else getattr(service, "drain", None)
    # Looked up when called, not now: a service registers itself before its own constructor has run.
    return Part(
        name=service.Name,
        floor=floor,
        initialize=lambda app: service.initialize(app),  # noqa: PLW0108 - see above
        finalize=lambda app: service.finalize(app),  # noqa: PLW0108 - see above
        drain=drain,
    )
