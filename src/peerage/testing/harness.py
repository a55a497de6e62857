"""What a backend provides for its tests: ways to take part in one registry, and to make it fail."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from peerage.registry import Registry, open_registry

__all__ = ["Harness"]


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

    def second(self) -> Registry:
        """Open a participant that no fault affects."""
        return open_registry(self.url())

    def elsewhere(self) -> Registry:
        """Open a participant of another path."""
        return open_registry(self.url("elsewhere"))

    async def lose(self) -> None:
        """Capability ``outage``: the first participants lose touch; their sessions survive."""
        raise NotImplementedError

    async def restore(self) -> None:
        """Capability ``outage``: they can reach the registry again."""
        raise NotImplementedError

    async def expire(self) -> None:
        """Capability ``session``: the registry takes the first participants for dead; they can reach it."""
        raise NotImplementedError
