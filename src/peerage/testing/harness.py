"""What a backend provides for its tests: capabilities, ways to take part in one registry, and faults."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from peerage.registry import Advertisement, Registry, open_registry

#: What a backend may declare, and what each capability means.
CAPABILITIES: Final = {
    "processes": "separate processes see each other, and a record vanishes with its process",
    "outage": "a participant can lose touch with the registry and find it again",
    "session": "the registry can take a living participant for dead",
    "secrets": "shared secrets can be kept",
}

_Test = TypeVar("_Test", bound=Callable[..., Any])


def requires(*capabilities: str) -> Callable[[_Test], _Test]:
    """Mark a test as one that only backends with all these capabilities can pass."""
    unknown = set(capabilities) - CAPABILITIES.keys()
    if unknown:
        raise ValueError(f"{sorted(unknown)} aren't capabilities; known are {sorted(CAPABILITIES)}.")

    def mark(test: _Test) -> _Test:
        test.__dict__["requires"] = frozenset(capabilities)
        return test

    return mark


def missing_tests(suite: type, capabilities: frozenset[str]) -> list[str]:
    """Return the names of the tests in *suite* that require more than *capabilities*."""
    return [
        name
        for name in dir(suite)
        if name.startswith("test_")
        and not getattr(getattr(suite, name), "requires", frozenset()) <= capabilities
    ]


class Harness(ABC):
    """One registry under test, new and empty for each test.

    A subclass sets :attr:`capabilities` and defines :meth:`url`; with ``outage`` and ``session`` it also
    defines the faults. Everything else has a default.

    Args:
        folder: an empty folder, a new one for each test.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def url(self, path: str = "asab") -> str:
        """Return the URL of the registry under test; another *path* is another one on the same server."""

    async def start(self) -> None:  # noqa: B027 - most have nothing to start
        """Start what the registry needs."""

    async def stop(self) -> None:  # noqa: B027 - and nothing to stop
        """Stop it; every registry is closed by then."""

    def first(self) -> Registry:
        """Open a participant that :meth:`lose` and :meth:`expire` affect."""
        return open_registry(self.url())

    async def lose(self) -> None:
        """Capability ``outage``: the first participants lose touch; their sessions survive."""
        raise NotImplementedError

    async def restore(self) -> None:
        """Capability ``outage``: they can reach the registry again."""
        raise NotImplementedError

    async def expire(self) -> None:
        """Capability ``session``: the registry takes the first participants for dead; they can reach it."""
        raise NotImplementedError


@asynccontextmanager
async def closing(*registries: Registry) -> AsyncIterator[tuple[Registry, ...]]:
    """Close all of them in the end, also after an exception."""
    try:
        yield registries
    finally:
        for registry in registries:
            await registry.aclose()


async def registered(registry: Registry, name: str, data: bytes) -> Advertisement:
    """Advertise, and return once the record is in the registry."""
    advertisement = registry.advertise(name, data)
    await advertisement.registered()
    return advertisement
