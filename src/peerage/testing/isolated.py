"""A registry that one test uses alone, and its faults."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeGuard

from peerage.backends.memory import MemoryRegistry
from peerage.directory import Directory, fold_criteria
from peerage.records.identity import host_key
from peerage.records.instance import Instance
from peerage.registry import Registry, open_registry
from peerage.testing.loopthread import LoopThread, call_in

_numbers: Final = itertools.count(1)

#: Turns of an event loop within which a membership applies an event that has been reported to it: one for its
#: wake-up, one for its task, and one for the case that this task comes first in a turn.
_TURNS: Final = 3


class IsolatedRegistry:
    """A registry that one test uses alone: in memory, unless *url* says another one.

    Its faults concern everything that the code under test opens, before and during the fault. Fake peers
    (:class:`peerage.testing.Peers`) aren't affected, as services on other machines wouldn't be: only the
    connection of the code under test to the registry is interrupted.

    In memory, it is seen by all threads of the process. Child processes need one with files: then there are
    no faults, and changes are seen within milliseconds, not at once.
    """

    def __init__(self, url: str | None = None) -> None:
        self.url = url or f"memory:test-{next(_numbers)}"
        """What ``PEERAGE_REGISTRY`` is during the test."""
        self.own: Registry = open_registry(self.url)
        """The participant of the test itself and of its fake peers, which no fault concerns."""

    # Faults

    def lose(self, reason: str = "the network is down") -> None:
        """Cut the code under test off from the registry: it sees no changes, and its own aren't written.

        What it knows stays in use, and ``discovery.stale`` is *reason*.
        """
        self._memory.folder.outage = reason
        self._disturb(lambda each: each.lose(reason))

    def restore(self) -> None:
        """Reconnect it: it learns what has changed, and its own changes are written."""
        self._memory.folder.outage = None
        self._disturb(MemoryRegistry.restore)

    def expire(self) -> None:
        """End the sessions of the code under test: its records vanish, and come back under other names."""
        self._disturb(MemoryRegistry.expire)

    def _disturb(self, fault: Callable[[MemoryRegistry], None]) -> None:
        for each in self._others():
            if _runs_elsewhere(each.loop):
                call_in(each.loop, partial(fault, each))
            else:
                fault(each)

    @property
    def _memory(self) -> MemoryRegistry:
        if not isinstance(self.own, MemoryRegistry):
            raise TypeError(
                f"{self.url} can't simulate faults or list its instances: leave out the marker "
                "'peerage_registry'."
            )
        return self.own

    def _others(self) -> list[MemoryRegistry]:
        if not isinstance(self.own, MemoryRegistry):
            return []
        with self._memory.folder.lock:
            return [each for each in self._memory.folder.participants if each is not self.own]

    # What is advertised

    def instances(self, **ids: object) -> list[Instance]:
        """Return the advertised instances that match all *ids*: what another service would find now."""
        directory = Directory(host_key=host_key())
        with self._memory.folder.lock:
            records = tuple(self._memory.folder.records.values())
        for record in records:
            directory.put(record)
        return directory.find(fold_criteria(ids))

    async def seen(self) -> None:
        """Return once the code under test in this event loop has applied all changes of the registry."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def seen_elsewhere(self) -> None:
        """Return once the code under test in event loops of other threads has applied all changes."""
        for loop in {each.loop for each in self._others()}:
            if _runs_elsewhere(loop):
                for _ in range(_TURNS):
                    call_in(loop, _nothing)

    def close(self) -> None:
        """Close the participant of the test."""
        if isinstance(self.own, MemoryRegistry):
            self.own.kill()
            return
        thread = LoopThread("peerage.testing: registry")
        try:
            thread.run(self.own.aclose())
        finally:
            thread.close()


def _nothing() -> None:
    """Take a turn of an event loop."""


def _runs_elsewhere(loop: asyncio.AbstractEventLoop | None) -> TypeGuard[asyncio.AbstractEventLoop]:
    here = None
    with suppress(RuntimeError):
        here = asyncio.get_running_loop()
    return loop is not None and loop is not here and loop.is_running()
