"""Waiting for an instance of a name that has none at the moment."""

import asyncio

from peerage.calling import CallContext, WaitForInstance
from peerage.client.journal import Journal
from peerage.directory import Change
from peerage.errors import RegistryClosedError


class Arrivals:
    """Wakes calls when an instance of their name joins, and notes when names lose their last one.

    Args:
        context: what all calls share.
        journal: logs the names that were called.
    """

    def __init__(self, context: CallContext, journal: Journal) -> None:
        self._context = context
        self._journal = journal
        # In the order in which the calls began to wait, in which they go on.
        self._waiting: dict[tuple[str, str], dict[asyncio.Future[None], None]] = {}
        self._closed = False

    async def wait(self, step: WaitForInstance) -> None:
        """Wait until an instance of the name in *step* joins, for as long as *step* says.

        Raises:
            RegistryClosedError: the Discovery is closed, so nothing will be learned of others.
        """
        if not self._closed:
            await self._wait(step)
        if self._closed:
            raise RegistryClosedError("The Discovery was closed while the call waited for an instance.")

    def close(self) -> None:
        """Let all calls that wait fail."""
        self._closed = True
        for arrival in [each for waiting in self._waiting.values() for each in waiting]:
            if not arrival.done():
                arrival.set_result(None)

    async def _wait(self, step: WaitForInstance) -> None:
        arrival = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(step.name, {})
        waiting[arrival] = None
        try:
            await asyncio.wait([arrival], timeout=step.seconds)
        finally:
            waiting.pop(arrival, None)
            if not waiting and self._waiting.get(step.name) is waiting:
                del self._waiting[step.name]

    def changed(self, change: Change) -> None:
        """Take a change of the directory into account."""
        before, after = change
        targets = self._context.directory.targets
        if before is not None:
            for name in before.ids:
                if not targets(*name):
                    self._context.emptied[name] = self._context.clock()
                    if self._context.balancer.was_called(name):
                        self._journal.emptied(name)
        if after is not None and (self._waiting or self._journal.open):
            for name in after.ids:
                if targets(*name):
                    self._journal.filled(name)
                for arrival in self._waiting.get(name, ()):
                    if not arrival.done():
                        arrival.set_result(None)
