"""Removing the record of the process before this one.

If a service is killed and started again at once, the record of the dead process stays in the registry until
its session times out. On the same port the new record supersedes it. With another port, or without an
instance id, nothing in the records says that they are of one service that was started twice. Callers would
go on calling the old address, which may belong to another program by now.

The new process knows better: on the same host it can see that the other process has ended.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Final

from peerage.errors import RegistryClosedError, RegistryError
from peerage.membership import Membership
from peerage.records.instance import Instance
from peerage.records.process import RECORD_FIELD
from peerage.registry import Removal

log = logging.getLogger(__name__)

#: The keys of which one must have the same value: the name of the process, else that of its service.
_INSTANCE: Final = "instance_id"
_SERVICE: Final = "service_id"


class Predecessors:
    """Removes their records whenever a record of this process gets a name: at the start, and after outages.

    Args:
        membership: what is known.
        removal: the registry, which has :attr:`~peerage.registry.Registry.own_records` as well.
        own_ids: returns the ``(key, value)`` pairs, folded, by which this process is called.
        has_ended: as :func:`peerage.records.process.has_ended`.
    """

    def __init__(
        self,
        membership: Membership,
        removal: Removal,
        own_ids: Callable[[], set[tuple[str, str]]],
        has_ended: Callable[[object, object], bool],
    ) -> None:
        self._membership = membership
        self._removal = removal
        self._own_ids = own_ids
        self._has_ended = has_ended
        self._registered = asyncio.Event()
        self._unsubscribe = membership.registry.own_records.subscribe(lambda _: self._registered.set())
        self._task = asyncio.create_task(self._run(), name="peerage: remove records of dead processes")

    async def aclose(self) -> None:
        """Stop."""
        self._unsubscribe()
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while True:
                await self._registered.wait()
                self._registered.clear()
                await self._membership.wait_in_touch()
                for name in tuple(self._ended()):
                    await self._remove(name)
        except RegistryClosedError:
            return

    def _ended(self) -> Iterator[str]:
        """Yield the names of the records to remove."""
        own, names = self._own_ids(), self._membership.registry.own_records
        found = (each for pair in sorted(own) for each in self._membership.directory.find((pair,)))
        for instance in {each.name: each for each in found}.values():
            if instance.name not in names and _replaces(own, instance) and self._is_dead(instance):
                yield instance.name

    def _is_dead(self, instance: Instance) -> bool:
        if not (instance.same_host and instance.ephemeral):
            return False
        record = instance.record()
        own = record.get("peerage")
        return isinstance(own, dict) and self._has_ended(record.get("process_id"), own.get(RECORD_FIELD))

    async def _remove(self, name: str) -> None:
        try:
            await self._removal.remove_record(name)
        except RegistryClosedError:
            raise
        except RegistryError as error:
            log.info("The record %a is of a dead process, and can't be removed: %s", name, error)
        else:
            log.info("Removed the record %a: its process, which this one replaces, is dead.", name)


def _replaces(own: set[tuple[str, str]], instance: Instance) -> bool:
    """Tell whether a process with the ids *own* is *instance*, started again."""
    if any(key == _INSTANCE for key, _ in instance.ids):
        return any(pair in own for pair in instance.ids if pair[0] == _INSTANCE)
    return any(pair in own for pair in instance.ids if pair[0] == _SERVICE)
