"""What one watcher knows, and waiting until it knows something."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Self

from peerage.registry import Event, Gone, Put, Record, Registry, Snapshot, Stale
from peerage.testing.waiting import PATIENCE


class View:
    """Watches a registry in a task and keeps the records by name, as a user would.

    It checks the events as well: changes come after a snapshot only, and Stale has a reason.

    ::

        async with View(registry) as view:
            await view.until(lambda: len(view.records) == 3)
    """

    def __init__(self, registry: Registry) -> None:
        self.records: dict[str, Record] = {}
        self.events: list[Event] = []
        """All events, in order."""
        self.stale: str | None = None
        self.ready = False
        self.ended = False
        self._watch = registry.watch()
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._follow(), name="peerage.testing: view")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop watching, and raise what went wrong while following."""
        await self._watch.aclose()
        await self._task

    async def until(self, condition: Callable[[], object], what: str = "what is watched") -> None:
        """Wait until *condition*, which looks at this view, is true.

        Raises:
            AssertionError: it isn't within :data:`PATIENCE` seconds; the message has the records.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{what} didn't come true; known: {self.records!r}, {self.stale=}") from None

    async def until_data(self, expected: Iterable[bytes]) -> None:
        """Wait until the data of all records is *expected*, in any order."""
        wanted = sorted(expected)
        await self.until(lambda: self.ready and sorted(self.data.values()) == wanted, f"the data {wanted!r}")

    @property
    def data(self) -> Mapping[str, bytes]:
        """The data of each record, by name."""
        return {name: record.data for name, record in self.records.items()}

    async def _follow(self) -> None:
        async for event in self._watch:
            self.events.append(event)
            self._apply(event)
            self._changed.set()
        self.ended = True
        self._changed.set()

    def _apply(self, event: Event) -> None:
        match event:
            case Snapshot(records):
                self.records = {record.name: record for record in records}
                assert len(self.records) == len(records), "a snapshot has each name once"
                self.stale, self.ready = None, True
            case Put(record):
                assert self.ready, "a snapshot comes before the first change"
                self.records[record.name] = record
            case Gone(name):
                assert self.ready, "a snapshot comes before the first change"
                self.records.pop(name, None)
            case Stale(reason):
                assert reason, "losing touch has a reason"
                self.stale = reason
