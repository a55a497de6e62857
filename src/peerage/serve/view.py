"""What the page, the API and the exporters show: the rows of a directory, kept as JSON, and their changes."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

from peerage.directory import Change, DirectoryEvent
from peerage.directory.listing import listing, row
from peerage.errors import RegistryClosedError
from peerage.membership import Membership
from peerage.records.text import as_json
from peerage.serve.feed import Feed
from peerage.serve.timeline import Moment, Timeline
from peerage.timing import monotonic, wall_clock
from peerage.waiting import first_of

#: Seconds between two rounds of changes: a thousand services that start together are few events.
_PAUSE: Final = 0.05

#: Seconds of work after which other tasks of the event loop run.
_SLICE: Final = 0.003


class View:
    """Shows a membership; page, API and exporters take one.

    ::

        async with View(discovery.membership) as view:
            app.add_subapp("/discovery/", create_app(view))

    Args:
        membership: what is shown; opened and closed by the caller.
        clock: seconds since the epoch.
    """

    def __init__(self, membership: Membership, *, clock: Callable[[], float] = wall_clock) -> None:
        self.membership = membership
        self.feed = Feed()
        """The changes, as events for the page and other clients."""
        self.timeline = Timeline(clock)
        """What happened in the last hour."""
        self._clock = clock
        self._rows: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._status: tuple[bool, str | None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._unsubscribe = self.membership.directory.subscribe(self._note)
        self._changed = dict.fromkeys(self.membership.directory.names())
        self._task = asyncio.create_task(self._run(), name="peerage: keep the view up to date")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
        self.feed.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    # What it shows

    def rows(self) -> list[bytes]:
        """Return the rows as JSON, in no order; see :meth:`peerage.directory.listing.Row.summary`."""
        return list(self._rows.values())

    def status(self) -> dict[str, Any]:
        """Return how the registry is, and how old what is known is, as values of JSON."""
        membership = self.membership
        age = membership.age
        return {
            "registry": membership.registry.url,
            "ready": membership.ready,
            "stale": membership.stale,
            "age": age if math.isfinite(age) else None,
            "as_of": self._clock() - age if math.isfinite(age) else None,
            "now": self._clock(),
        }

    # Keep it up to date

    def _note(self, event: DirectoryEvent) -> None:
        if isinstance(event, Change):
            for instance in event:
                if instance is not None:
                    self._changed[instance.name] = None
            # What was there at the beginning didn't join.
            if self.membership.ready and (moment := self.timeline.changed(event)) is not None:
                self._happened(moment)
        else:
            self._changed[event.name] = None
        self._wake.set()

    def _happened(self, moment: Moment) -> None:
        self.feed.append("timeline", as_json(moment.entry()).encode())

    async def _run(self) -> None:
        with suppress(RegistryClosedError):
            await first_of(self._follow_rows(), self._follow_touch())
        # The membership was closed: what is known stays, and is stale from now on.
        self._show_status()

    async def _follow_rows(self) -> None:
        while True:
            await self._update()
            self._wake.clear()
            if not self._changed:
                await self._wake.wait()
            await asyncio.sleep(_PAUSE)

    async def _follow_touch(self) -> None:
        while True:
            self._show_status()
            await self.membership.wait_changed()

    def _show_status(self) -> None:
        before, self._status = self._status, (self.membership.ready, self.membership.stale)
        if before == self._status:
            return
        url = self.membership.registry.url
        if before is not None and before[1] is None and self._status[1] is not None:
            self._happened(self.timeline.touch("lost", url, self._status[1]))
        elif before is not None and before[1] is not None and self._status[1] is None:
            self._happened(self.timeline.touch("found", url))
        # Rows that were known from the disk cache only are confirmed, or are still the same.
        self._changed.update(dict.fromkeys(self._rows))
        self._wake.set()
        self.feed.append("status", as_json(self.status()).encode())

    async def _update(self) -> None:
        """Write the rows that changed anew, in slices."""
        ends = monotonic() + _SLICE
        while self._changed:
            name = next(iter(self._changed))
            del self._changed[name]
            self._show(name)
            if monotonic() >= ends:
                await asyncio.sleep(0)
                ends = monotonic() + _SLICE

    def _show(self, name: str) -> None:
        found = row(self.membership.directory, name)
        if found is None:
            if self._rows.pop(name, None) is not None:
                self.feed.append("gone", as_json({"name": name}).encode())
            return
        data = as_json(found.summary()).encode()
        if self._rows.get(name) != data:
            self._rows[name] = data
            self.feed.append("put", data)

    def entries(self) -> list[dict[str, Any]]:
        """Return the rows whole, with their records, sorted as ``peerage ls`` does."""
        return [each.entry() for each in listing(self.membership.directory)]
