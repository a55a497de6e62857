"""What the page and the API show: the rows of a directory, kept as JSON, and their changes."""

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

from peerage.directory import Change, DirectoryEvent
from peerage.directory.listing import row
from peerage.errors import RegistryClosedError
from peerage.membership import Membership
from peerage.records.text import as_json
from peerage.serve.feed import Feed
from peerage.serve.timeline import Moment, Timeline, moment_of
from peerage.timing import wall_clock
from peerage.waiting import Slices, first_of

log = logging.getLogger(__name__)

#: Seconds between two rounds of changes: a thousand services that start together are few events.
_PAUSE: Final = 0.05


class View:
    """Shows a membership; the page, the API and Prometheus' routes take one.

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
        self.timeline = Timeline()
        """What happened in the last hour."""
        self._clock = clock
        self._rows: dict[str, bytes] = {}
        self._changed: dict[str, None] = {}
        self._moments: list[Moment] = []
        self._unconfirmed: set[str] = set()
        self._wake = asyncio.Event()
        self._status: tuple[bool, str | None] | None = None
        self._closed_at: float | None = None
        self._version = 0
        self._unsubscribe: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        directory = self.membership.directory
        self._unsubscribe = directory.subscribe(self._note)
        self._changed = dict.fromkeys(directory.names())
        self._unconfirmed = set(directory.unconfirmed)
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

    @property
    def version(self) -> str:
        """A text that differs after each change of what is known, and in each run of this process."""
        return self.feed.id(self._version)

    @property
    def failed(self) -> bool:
        """Whether it doesn't show changes any more, because of a bug."""
        return self._task is not None and self.feed.closed

    def status(self) -> dict[str, Any]:
        """Return how the registry is, and how old what is known is, as values of JSON."""
        membership, now = self.membership, self._clock()
        stale, age = membership.stale, membership.age
        if self._closed_at is not None and stale is None and membership.ready:
            stale, age = "the Discovery that followed it was closed", max(0.0, now - self._closed_at)
        known = math.isfinite(age)
        return {
            "registry": membership.registry.url,
            "ready": membership.ready,
            "stale": stale,
            "age": age if known else None,
            "as_of": now - age if known else None,
            "now": now,
        }

    # Keep it up to date

    def _note(self, event: DirectoryEvent) -> None:
        self._version += 1
        if isinstance(event, Change):
            for instance in event:
                if instance is not None:
                    self._changed[instance.name] = None
            # What was there at the beginning didn't join.
            moment = moment_of(event, self._clock()) if self.membership.ready else None
            if moment is not None:
                self._moments.append(moment)
        else:
            self._changed[event.name] = None
        self._wake.set()

    async def _run(self) -> None:
        try:
            with suppress(RegistryClosedError):
                await first_of(self._follow_rows(), self._follow_touch())
            # The membership was closed: what is known stays, and is stale from now on.
            self._closed_at = self._clock()
            self._show_status()
            await self._update()
        except Exception:
            # A page that went on showing the same would be taken for a quiet cluster.
            log.exception("The view of %s ends, which is a bug: restart it", self.membership.registry.url)
            self.feed.close()

    async def _follow_rows(self) -> None:
        while True:
            await self._update()
            await asyncio.sleep(_PAUSE)
            await self._wake.wait()

    async def _follow_touch(self) -> None:
        while True:
            self._show_status()
            await self.membership.wait_changed()

    def _show_status(self) -> None:
        """Tell the clients whether the registry is in touch, if that has changed."""
        membership = self.membership
        stale = self.status()["stale"]
        before, self._status = self._status, (membership.ready, stale)
        if before == self._status:
            return
        self._version += 1
        word = _touch(before, stale)
        if word is not None:
            url = membership.registry.url
            self._moments.append(Moment(self._clock(), word, url, None, None, stale or ""))
        # The directory doesn't publish that what the disk cache had was confirmed.
        unconfirmed = set(membership.directory.unconfirmed)
        self._changed.update(dict.fromkeys(self._unconfirmed ^ unconfirmed))
        self._unconfirmed = unconfirmed
        self.feed.append("status", as_json(self.status()).encode())
        self.feed.wake()
        self._wake.set()

    async def _update(self) -> None:
        """Write the rows that changed anew, in slices, and tell the clients."""
        self._wake.clear()
        slices = Slices()
        moments, self._moments = self._moments, []
        for moment in moments:
            self.feed.append("timeline", self.timeline.add(moment))
        while self._changed:
            name = next(iter(self._changed))
            del self._changed[name]
            self._show(name)
            await slices.pause()
        self.feed.wake()

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


def _touch(before: tuple[bool, str | None] | None, stale: str | None) -> str | None:
    """Return whether touch with the registry is ``lost`` or ``found``; None if neither has just happened.

    Args:
        before: ``ready`` and ``stale`` of the membership so far; None at the beginning.
        stale: its present value.
    """
    if before is None:
        return None
    was_ready, was_stale = before
    if stale is None:
        return None if was_stale is None else "found"
    # A registry that wasn't read yet can't be lost.
    return "lost" if was_ready and was_stale is None else None
