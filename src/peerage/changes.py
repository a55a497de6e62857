"""Joined, Changed, Left: the changes of instances as an asynchronous iterator."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Self

from peerage.directory import Change, Directory, DirectoryEvent
from peerage.records.instance import Instance


class Joined(NamedTuple):
    """An instance is present; the first events are one of these for each that was present before."""

    instance: Instance


class Changed(NamedTuple):
    """An instance has another record: it drains, has other ids, or was started again."""

    instance: Instance
    before: Instance


class Left(NamedTuple):
    """An instance isn't present any more."""

    instance: Instance


PeerEvent = Joined | Changed | Left


class Changes:
    """An asynchronous iterator over the changes of a directory; changes that aren't taken are merged.

    At most one event waits for each instance that is present and for each that the caller has seen. The
    iteration ends when this or its Discovery is closed; *on_close* is called once then.
    """

    def __init__(self, directory: Directory, on_close: Callable[["Changes"], None]) -> None:
        self._on_close = on_close
        self._wake = asyncio.Event()
        self._ended = False
        # Each Change is what the caller has seen (None: nothing yet) and what is true now. The key is the
        # latter, or the former if the instance left. It isn't the record's name: between two events, a name
        # can be given up and taken by another instance.
        self._pending: dict[Instance, Change] = {
            instance: Change(None, instance) for instance in directory.find()
        }
        self._unsubscribe = directory.subscribe(self._note)

    def _note(self, event: DirectoryEvent) -> None:
        if not isinstance(event, Change):
            return
        before, after = event
        if before is not None and (earlier := self._pending.pop(before, None)) is not None:
            before = earlier.before
        subject = after or before
        # An instance that joined and left, or left and came back, between two events is no event.
        if subject is not None and before is not after:
            self._pending[subject] = Change(before, after)
            self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PeerEvent:
        while not self._ended:
            if self._pending:
                return _event(self._pending.pop(next(iter(self._pending))))
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop; may be called twice."""
        self.close()

    def close(self) -> None:
        """Stop, without waiting for anything; may be called twice."""
        if not self._ended:
            self._ended = True
            self._unsubscribe()
            self._wake.set()
            self._on_close(self)


def _event(change: Change) -> PeerEvent:
    match change:
        case Change(None, Instance() as after):
            return Joined(after)
        case Change(Instance() as before, None):
            return Left(before)
        case Change(Instance() as before, Instance() as after):
            return Changed(after, before)
    raise AssertionError(f"{change} changes nothing")
