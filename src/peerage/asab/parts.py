"""The parts of an application, and the order in which they start and end."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peerage.asab.application import Application


class Phase(IntEnum):
    """When a part is initialized: lower phases first.

    The parts of this layer have phases before and after those of the program. So a service of the program can
    use discovery in its ``initialize()`` and until the end of its ``finalize()``, in whatever order the parts
    were made. If a part of this layer can't start, the application ends. Its ``initialize()`` must not wait
    for the network.

    At the end, API is drained first, and WEB once main() is over. USER and WEB are finalized at the same
    time; then API, DISCOVERY and ZOOKEEPER.
    """

    ZOOKEEPER = 1  # sessions
    DISCOVERY = 2  # watches the registry, and calls other services
    API = 3  # advertises; drained first, so that callers learn that no new requests are wanted
    MODULE = 4  # the modules of the program
    USER = 5  # the services of the program
    WEB = 6  # listens once all routes are added; drained after main(), which may need its answers


Step = Callable[["Application"], Awaitable[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A service, a module or a container: it starts and ends with the application.

    Args:
        name: for the log.
        phase: when *initialize* is called.
        initialize: starts it.
        finalize: ends it; called also if *initialize* failed or wasn't called.
        drain: called after the application was asked to stop, before anything is finalized.
    """

    name: str
    phase: Phase
    initialize: Step
    finalize: Step
    drain: Step | None = None


def part_of(service: Any) -> Part:
    """Return *service* as a part.

    Its phase is USER unless it has an attribute ``peerage_phase``; such a service may have a coroutine method
    ``drain(app)``.
    """
    phase = getattr(service, "peerage_phase", Phase.USER)
    drain = None if phase is Phase.USER else getattr(service, "drain", None)
    # The methods are looked up when called: a service registers itself before its constructor has run.
    return Part(
        name=service.Name,
        phase=phase,
        initialize=lambda app: service.initialize(app),  # noqa: PLW0108 - see above
        finalize=lambda app: service.finalize(app),  # noqa: PLW0108 - see above
        drain=drain,
    )
