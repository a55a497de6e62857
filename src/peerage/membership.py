"""The members of the cluster: a directory that is kept up to date with a registry.

A snapshot of ten thousand records is applied in slices of a few milliseconds, so that the event loop goes on;
additions first and removals last, so that no id is without instances in between. What was known stays while
the registry is out of reach.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Final

from peerage.directory import Directory, reconcile
from peerage.disk_cache import DiskCache, Entry
from peerage.disk_cache.format import UnusableFileError
from peerage.errors import NotReadyError, RegistryClosedError
from peerage.outage_log import OutageLog
from peerage.registry import Event, Gone, Put, Record, Registry, Snapshot, Stale
from peerage.timing import monotonic
from peerage.waiting import Slices

log = logging.getLogger(__name__)

#: Seconds that a call waits for the first snapshot, by default.
READY_TIMEOUT: Final = 10.0


class Membership:
    """Applies the events of a registry to a directory; clients and authorization take one.

    Args:
        registry: source of the events; closed by the caller.
        directory: receives the changes.
        ready_timeout: seconds that :meth:`wait_ready` waits for the first snapshot.
        clock: monotonic seconds.
        retry: seconds until a watch that failed is begun again; watches of a correct backend don't fail.
        disk_cache: keeps what is known, for a start while the registry is out of reach; None: nothing does.
    """

    def __init__(
        self,
        registry: Registry,
        directory: Directory,
        *,
        ready_timeout: float = READY_TIMEOUT,
        clock: Callable[[], float] = monotonic,
        retry: float = 1.0,
        disk_cache: DiskCache | None = None,
    ) -> None:
        self.registry = registry
        self.directory = directory
        self.ready_timeout = ready_timeout
        self.advice = "its URL, given or in PEERAGE_REGISTRY"
        """What to check besides the registry, for the message of NotReadyError."""
        self.not_ready: type[NotReadyError] = NotReadyError
        """The error that :meth:`wait_ready` raises."""
        self.ready = False
        """Whether a snapshot was applied completely, however long ago, by this process or the one before."""
        self.stale: str | None = None
        """Why the registry is out of reach; None while in touch. What was known stays in use meanwhile."""
        self.refused = False
        """Whether the registry refuses to be read, which waiting doesn't change; :attr:`stale` says why."""
        self.on_suspension: list[Callable[[], object]] = []
        """Called when the machine has been suspended: connections may be dead that look as before."""
        self.outages = 0
        """How often the registry came out of reach; a start without it counts as well."""
        self._clock = clock
        self._retry = retry
        self._disk_cache = disk_cache
        self._saved_generation = directory.generation
        self._closed = False
        self._task: asyncio.Task[None] | None = None
        self._slices = Slices(clock)
        self._loaded = False
        self._expiry: asyncio.TimerHandle | None = None
        self._knows_timeout = directory.guard is None
        self._lost_at: float | None = None
        # Seconds of the outage that the clock didn't count: the machine was suspended.
        self._uncounted = 0.0
        self._outages = OutageLog(registry.url, clock)
        self._changed = asyncio.Event()

    @property
    def age(self) -> float:
        """Seconds since the directory was last certain: 0 in touch, ``inf`` while nothing is known.

        What comes from the disk cache is as old as the file.
        """
        if not self.ready:
            return math.inf
        return 0.0 if self._lost_at is None else self._clock() - self._lost_at + self._uncounted

    def as_of(self) -> str:
        """Return a sentence on how old what is known is, for messages; empty while in touch."""
        if self.stale is None or not self.ready:
            return ""
        return (
            f"The registry {self.registry.url} has been out of reach for {self.age:.0f} s, so changes since "
            f"then aren't known: {self.stale.rstrip('.')}."
        )

    def start(self) -> None:
        """Begin; needs the running event loop."""
        self._task = asyncio.create_task(self._run(), name=f"peerage: follow {self.registry.url}")
        if self._disk_cache is not None:
            self._disk_cache.start(self._to_save)

    async def aclose(self) -> None:
        """Stop following; the directory stays as it is, and calls that wait raise RegistryClosedError."""
        self._closed = True
        self._notify()
        if self._expiry is not None:
            self._expiry.cancel()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._disk_cache is not None:
            await self._disk_cache.aclose()
        self._outages.flush()

    async def wait_ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the message names it
        """Wait until the registry was read once.

        Args:
            timeout: seconds, *ready_timeout* of the constructor by default.

        Raises:
            NotReadyError: it wasn't in time; the message names the registry and what to check.
            RegistryClosedError: closed meanwhile.
        """
        if self.ready:
            return
        limit = self.ready_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                await self._until(lambda: self.ready)
        except TimeoutError:
            reason = self.stale or "it hasn't answered yet"
            raise self.not_ready(
                f"The registry {self.registry.url} wasn't read within {limit:g} s: {reason}. "
                f"Check that it runs and that this process may read it, and {self.advice}."
            ) from None

    async def wait_stale(self) -> None:
        """Wait until the registry is out of reach; raises RegistryClosedError as wait_ready() does."""
        await self._until(lambda: self.stale is not None)

    async def wait_in_touch(self) -> None:
        """Wait until what is known is certain; raises RegistryClosedError as wait_ready() does."""
        await self._until(lambda: self.ready and self.stale is None)

    async def wait_refused(self) -> None:
        """Wait until the registry refuses to be read; raises RegistryClosedError as wait_ready() does."""
        await self._until(lambda: self.refused)

    async def wait_changed(self) -> None:
        """Wait until :attr:`ready` or :attr:`stale` is set anew; raises as :meth:`wait_stale` does."""
        changed = self._changed
        await self._until(lambda: changed is not self._changed)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            if not self._closed:
                await self._changed.wait()
            if self._closed:
                raise RegistryClosedError(f"{self.registry.url} was closed while this call waited for it.")

    def _notify(self) -> None:
        """Wake the calls that wait for ready or stale; each checks its own condition."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _run(self) -> None:
        failed = False
        while True:
            try:
                await self._follow()
                break
            except RegistryClosedError:
                break
            except Exception as error:
                if not failed:
                    log.exception("Watching %s failed, which is a bug; trying again", self.registry.url)
                failed = True
                self._lose(f"watching failed: {error}")
            await asyncio.sleep(self._retry)
        # Its owner closed the registry: what is known is stale from now on.
        self._lose("it was closed")

    async def _follow(self) -> None:
        async with aclosing(self.registry.watch()) as watch:
            async for event in watch:
                await self._apply(event)
                # A snapshot is large, and the next event may come much later.
                del event

    async def _apply(self, event: Event) -> None:
        match event:
            case Stale(reason, refused, age):
                known = self._uncounted if self._lost_at is not None else 0.0
                self._lose(reason, refused=refused, uncounted=age)
                for suspended in self.on_suspension if age > known else ():
                    suspended()
                await self._load()
            case Snapshot(records):
                await self._change(reconcile(self.directory.names(), records))
                self._recover()
                await self._read_timeout()
            case change:
                await self._change((change,))
        if self._disk_cache is not None and self.directory.generation != self._saved_generation:
            self._disk_cache.changed()

    # The disk cache

    async def _load(self) -> None:
        """Load the disk cache, once, if nothing else is known."""
        cache = self._disk_cache
        if cache is None or self.ready or self._loaded:
            return
        self._loaded = True
        if (found := await cache.load()) is None:
            return
        # The guard's clock runs from now on: suspects have their whole time again.
        try:
            for record, suspect in found.entries:
                self.directory.restore(record, suspect=suspect)
                await self._slices.pause()
        except UnusableFileError as error:
            cache.ignore(error)
        if not len(self.directory):
            return
        self._lost_at = self._clock() - found.age
        self.ready = True
        self._expire()
        log.warning(
            "The registry %s is out of reach: %s. %d records are known from the disk cache, saved %.0f s "
            "ago, and stay in use until it is back.",
            self.registry.url,
            (self.stale or "").rstrip("."),
            len(self.directory),
            found.age,
        )
        self._notify()

    def _to_save(self) -> Iterable[Entry] | None:
        """Return what is known, unless it is uncertain: what was saved before is at least as good then."""
        if self.stale is not None or not self.ready:
            return None
        self._saved_generation = self.directory.generation
        known = tuple(self.directory)
        return (Entry(Record(one.name, one.data, one.sequence, one.ephemeral), one.suspect) for one in known)

    def _expire(self) -> None:
        """Drop the suspects whose time is over, and come back when the next one's is."""
        if self._expiry is None and self.directory.guard is not None and self.directory.guard.suspects:
            self._drop_expired()

    def _drop_expired(self) -> None:
        self._expiry, seconds = None, self.directory.expire()
        if seconds is not None and not self._closed:
            self._expiry = asyncio.get_running_loop().call_later(seconds, self._drop_expired)

    async def _read_timeout(self) -> None:
        """Learn in which time records vanish together."""
        guard = self.directory.guard
        if not self._knows_timeout and guard is not None:
            self._knows_timeout = True
            timeout = (await self.registry.inspect()).session_timeout
            if timeout is not None:
                guard.session_timeout = timeout

    async def _change(self, changes: Iterable[Put | Gone]) -> None:
        for change in changes:
            match change:
                case Put(record):
                    self.directory.put(record)
                case Gone(name, withdrawn):
                    self.directory.remove(name, withdrawn=withdrawn)
                    self._expire()
            await self._slices.pause()
        # Last, as all removals: their own new records may stand behind those that have their names.
        displaced, self.directory.displaced = self.directory.displaced, []
        for name in displaced:
            self.directory.remove(name)
        if displaced:
            self._expire()

    def _lose(self, reason: str, *, refused: bool = False, uncounted: float = 0.0) -> None:
        if self.stale is None:
            self._outages.lost(reason, known=self.ready)
            self._lost_at, self._uncounted = self._clock(), 0.0
            self.outages += 1
        self._uncounted = max(self._uncounted, uncounted)
        self.stale, self.refused = reason, refused
        self._notify()

    def _recover(self) -> None:
        if self._lost_at is not None:
            self._outages.found(len(self.directory))
        self.stale = self._lost_at = None
        self.refused = False
        self.ready = True
        # What the registry doesn't have is gone, or suspect.
        self.directory.unconfirmed.clear()
        self._notify()
