"""The members of the cluster: a registry, its directory, and the task that feeds one from the other."""

import asyncio
from typing import Final

from peerage.directory import Directory
from peerage.errors import NotReadyError
from peerage.follow import Follower
from peerage.registry import Registry

__all__ = ["READY_TIMEOUT", "Membership"]

#: Seconds that a call waits for the first snapshot, by default.
READY_TIMEOUT: Final = 10.0


class Membership:
    """A directory kept up to date with a registry; clients, views and authorization take one.

    Args:
        registry: source of the events; closed by the caller.
        directory: receives the changes.
        ready_timeout: seconds that :meth:`wait_ready` waits for the first snapshot.
    """

    def __init__(
        self,
        registry: Registry,
        directory: Directory,
        *,
        ready_timeout: float = READY_TIMEOUT,
    ) -> None:
        self.registry = registry
        self.directory = directory
        self.ready_timeout = ready_timeout
        self.advice = "the URL in PEERAGE_REGISTRY"
        """What to check besides the registry, for the message of NotReadyError."""
        self.not_ready: type[NotReadyError] = NotReadyError
        """The error that :meth:`wait_ready` raises."""
        self._follower = Follower(registry, directory)

    @property
    def ready(self) -> bool:
        """Whether a snapshot was applied completely, however long ago."""
        return self._follower.ready

    @property
    def stale(self) -> str | None:
        """Why the registry is out of reach; None while in touch. What was known stays in use meanwhile."""
        return self._follower.stale

    @property
    def age(self) -> float:
        """Seconds since the directory was last certain: 0 in touch, ``inf`` before the first snapshot."""
        return self._follower.age

    def start(self) -> None:
        """Begin to follow the registry; needs the running event loop."""
        self._follower.start()

    async def wait_ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the message names it
        """Wait until the registry was read once.

        Args:
            timeout: seconds, *ready_timeout* of the constructor by default.

        Raises:
            NotReadyError: it wasn't in time; the message names the registry and what to check.
            RegistryClosedError: closed meanwhile.
        """
        if self._follower.ready:
            return
        limit = self.ready_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                await self._follower.until_ready()
        except TimeoutError:
            reason = self._follower.stale or "it hasn't answered yet"
            raise self.not_ready(
                f"The registry {self.registry.url} wasn't read within {limit:g} s: {reason}. "
                f"Check that it runs and that this process may read it, and {self.advice}."
            ) from None

    async def wait_stale(self) -> None:
        """Wait until the registry is out of reach.

        Raises:
            RegistryClosedError: closed meanwhile.
        """
        await self._follower.until_stale()

    async def aclose(self) -> None:
        """Stop following; the directory stays as it is, and calls that wait raise RegistryClosedError."""
        await self._follower.aclose()
