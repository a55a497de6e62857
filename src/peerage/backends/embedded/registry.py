"""The embedded registry as its users see it; it lives on event loops and leaves file work to the thread."""

import asyncio
import logging
import os
import time
from typing import Final

from peerage.backends.embedded.advertisement import EmbeddedAdvertisement
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.loopthread import LoopThread
from peerage.backends.embedded.secrets import EmbeddedSecrets
from peerage.backends.embedded.shared import acquire, release
from peerage.backends.embedded.store import Store
from peerage.backends.feed import Feed, call_threadsafe
from peerage.diagnosis import Finding, LookUp
from peerage.errors import RegistryClosedError
from peerage.registry import Health, OwnRecords, check_name, check_size

_LOG = logging.getLogger(__name__)

#: Seconds the thread has for an answer; it needs them only if the disk hangs.
_PATIENCE: Final = 0.9

#: Seconds until the next attempt to start the thread, for want of descriptors or threads.
_RETRY: Final = 1.0


class EmbeddedRegistry:
    """A registry of this machine; made by :func:`peerage.backends.embedded.open_embedded`.

    Nothing happens on disk before the first call that needs it. A forked child can't use it: each call raises
    RegistryClosedError there, as after aclose().
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._pid = os.getpid()
        self._opened_at = time.monotonic()
        self._store: Store | None = None
        self._feeds: set[Feed] = set()
        self._advertisements: set[EmbeddedAdvertisement] = set()
        self._closed = False
        self._finished: asyncio.Future[None] | None = None
        # Why the thread can't be started, and the next attempt.
        self._obstacle: str | None = None
        self._starting: asyncio.TimerHandle | None = None
        self.url = location.url
        """The normal form of the URL: ``embedded:///tmp/peerage-1000``."""
        self.secrets = EmbeddedSecrets(location, lambda: self._open().thread)
        """Secrets, each in a file that no other user can read; all paths of a folder share them."""
        self.open_to_all = False
        self.own_records = OwnRecords()

    def advertise(self, name: str, data: bytes) -> EmbeddedAdvertisement:
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`."""
        check_name(name)
        check_size(data)
        advertisement = EmbeddedAdvertisement(
            self._open(), name, data, own_records=self.own_records, on_end=self._advertisements.discard
        )
        self._advertisements.add(advertisement)
        return advertisement

    def watch(self) -> Feed:
        """Begin to watch; see :meth:`peerage.registry.Registry.watch`."""
        store = self._open()
        feed = Feed(self._unwatch, asyncio.get_running_loop())
        self._feeds.add(feed)
        if self._obstacle is not None:
            feed.stale(self._obstacle, refused=True)
        store.thread.call_soon(lambda: store.watch(feed))
        return feed

    async def inspect(self) -> Health:
        """Return the registry's state; see :meth:`peerage.registry.Registry.inspect`."""
        store = self._open()
        if self._obstacle is not None:
            return self._unhealthy(f"{self._obstacle}.")
        try:
            async with asyncio.timeout(_PATIENCE):
                return await store.thread.run(store.health)
        except TimeoutError:
            return self._unhealthy(
                f"The disk under {self._location.base!a} doesn't answer, or many writes wait for it: "
                "check the disk."
            )

    async def diagnose(self, _look_up: LookUp, _secret: str, /) -> list[Finding]:
        """Examine the folder, before it is opened; see :class:`peerage.diagnosis.Diagnosable`."""
        # Only diagnoses need it.
        from peerage.backends.embedded.examine import examine  # noqa: PLC0415 - see above

        return await examine(self._location)

    async def aclose(self) -> None:
        """Withdraw everything, end every watch and close every descriptor; may be called twice."""
        if self._pid != os.getpid():
            return  # a forked child has closed everything already
        if not self._closed:
            self._closed = True
            self._begin_to_close()
        if self._finished is not None and not self._finished.done():
            await asyncio.wait([self._finished], timeout=_PATIENCE)
            if not self._finished.done() and self._store is not None and self._store.thread.is_new_hang():
                _LOG.warning(
                    "The disk under %s doesn't answer: the registry there is closed when it does. "
                    "Check the disk.",
                    ascii(self._location.base),
                )

    def _open(self) -> Store:
        """Return the store, and acquire it with the first call; raise RegistryClosedError if closed."""
        if self._pid != os.getpid():
            raise RegistryClosedError(
                f"The registry {self.url} was opened before a fork: open another one in the child."
            )
        if self._closed:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")
        if self._store is None:
            self._store = acquire(self._location)
        if not self._store.thread.started or self._obstacle is not None:
            self._start(self._store.thread)
        return self._store

    def _start(self, thread: LoopThread) -> None:
        """Start the thread, which makes all calls scheduled before; try again later if that fails."""
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        try:
            thread.start()
        except OSError as error:
            obstacle = (
                f"The embedded registry can't start for now ({error.strerror or error}): "
                "resolve this; it is tried again every second"
            )
            if obstacle != self._obstacle:
                self._obstacle = obstacle
                for feed in self._feeds:
                    feed.stale(obstacle, refused=True)
            self._starting = asyncio.get_running_loop().call_later(_RETRY, self._start, thread)
        else:
            self._obstacle = None

    def _unwatch(self, feed: Feed) -> None:
        self._feeds.discard(feed)
        store = self._store
        if store is not None:
            store.thread.call_soon(lambda: store.unwatch(feed))

    def _begin_to_close(self) -> None:
        """Schedule everything that closing takes; then the caller of aclose() may be cancelled."""
        advertisements = tuple(self._advertisements)
        feeds = tuple(self._feeds)
        self._feeds.clear()
        for advertisement in advertisements:
            advertisement.end()
        for feed in feeds:
            feed.end()
        self.secrets.end()
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        store = self._store
        if store is None:
            return
        loop = asyncio.get_running_loop()
        finished = self._finished = loop.create_future()

        def withdraw() -> None:
            for feed in feeds:
                store.unwatch(feed)
            store.withdraw_all(advertisement.record for advertisement in advertisements)

        def settle() -> None:
            if last:
                # The thread has only its descriptors to close, and no more work on the disk.
                store.thread.join()
            finished.set_result(None)

        store.thread.call_soon(withdraw)
        # settle() runs later on this loop, and so after this assignment.
        last = release(store, lambda: call_threadsafe(loop, settle))

    def _unhealthy(self, problem: str) -> Health:
        return Health(
            url=self.url,
            state="stale",
            since=time.monotonic() - self._opened_at,
            writable=False,
            problem=problem,
        )
