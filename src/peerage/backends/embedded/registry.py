"""The port's side of the embedded registry; it lives on event loops, everything on disk is the worker's."""

import asyncio
import logging
import os
import time
from typing import Final

from peerage.backends.embedded.advertisement import EmbeddedAdvertisement
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.mailbox import Mailbox, tell
from peerage.backends.embedded.process import Shared, ask, join, leave
from peerage.backends.embedded.secrets import EmbeddedSecrets
from peerage.backends.embedded.site import Condition, Site
from peerage.backends.feed import Feed
from peerage.errors import RegistryClosedError
from peerage.registry import Health, OwnRecords, check_name, check_size

__all__ = ["EmbeddedRegistry"]

_LOG = logging.getLogger(__name__)

#: Seconds the thread has for an answer; it needs them only if the disk hangs.
_PATIENCE: Final = 0.9

#: Seconds until the next attempt to begin the thread, for want of descriptors or threads.
_RETRY: Final = 1.0


class EmbeddedRegistry:
    """A registry of this machine; made by :func:`peerage.backends.embedded.open_embedded`.

    Nothing happens on disk before the first call that needs it.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._pid = os.getpid()
        self._opened_at = time.monotonic()
        self._shared: Shared | None = None
        self._site: Site | None = None
        self._mailboxes: dict[Feed, Mailbox] = {}
        self._advertisements: dict[EmbeddedAdvertisement, None] = {}
        self._closed = False
        self._finished: asyncio.Future[None] | None = None
        self._obstacle: str | None = None
        self._starting: asyncio.TimerHandle | None = None
        self._secrets = EmbeddedSecrets(location.base, self._open)
        self.open_to_all = False
        """Whether everyone who reaches it may write to it."""
        self.own_records = OwnRecords()
        """The names that the records advertised here have or had."""

    @property
    def url(self) -> str:
        """The normal form of the URL: ``embedded:///tmp/peerage-1000``."""
        return self._location.url

    @property
    def secrets(self) -> EmbeddedSecrets:
        """Secrets, each in a file that only this user can read; one set for all paths in a folder."""
        return self._secrets

    def advertise(self, name: str, data: bytes) -> EmbeddedAdvertisement:
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`.

        Raises:
            RegistryDeniedError: *name* or the size of *data* is impossible.
            RegistryClosedError: after aclose(), or in a forked child.
        """
        check_name(name)
        check_size(data)
        shared = self._open()
        advertisement = EmbeddedAdvertisement(
            shared.worker,
            self._entered,
            name,
            data,
            own_records=self.own_records,
            on_end=lambda ended: self._advertisements.pop(ended, None),
        )
        self._advertisements[advertisement] = None
        return advertisement

    def watch(self) -> Feed:
        """Begin a watch of its own; see :meth:`peerage.registry.Registry.watch`.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        shared = self._open()
        feed = Feed(self._unwatch)
        mailbox = Mailbox(asyncio.get_running_loop(), feed)
        self._mailboxes[feed] = mailbox
        if self._obstacle is not None:
            mailbox.stale(self._obstacle)
        shared.worker.post(lambda: self._entered().watch(mailbox))
        return feed

    async def inspect(self) -> Health:
        """Say how the registry is doing; see :meth:`peerage.registry.Registry.inspect`.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        shared = self._open()
        if self._obstacle is not None:
            return self._unhealthy(f"{self._obstacle}.")
        try:
            async with asyncio.timeout(_PATIENCE):
                condition = await ask(shared.worker, lambda: self._entered().condition())
        except TimeoutError:
            return self._unhealthy(f"The disk under {self._location.base!a} doesn't answer: look at it.")
        return self._health(condition)

    async def aclose(self) -> None:
        """Withdraw everything, end every watch and close every descriptor; may be called twice."""
        if self._pid != os.getpid():
            return  # the child has nothing of it
        if not self._closed:
            self._closed = True
            self._begin_to_close()
        if self._finished is not None and not self._finished.done():
            await asyncio.wait([self._finished], timeout=_PATIENCE)
            if not self._finished.done():
                _LOG.warning(
                    "The disk under %s doesn't answer, its registry is left as it is: look at the disk.",
                    ascii(self._location.base),
                )

    # Within

    def _open(self) -> Shared:
        """Return what the process shares, entering it at the first call.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        if self._pid != os.getpid():
            raise RegistryClosedError(
                f"The registry {self.url} was opened before a fork: open another one in the child."
            )
        if self._closed:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")
        if self._shared is None:
            shared = self._shared = join()
            shared.worker.post(lambda: self._enter(shared))
        if not self._shared.worker.started or self._obstacle is not None:
            self._start(self._shared)
        return self._shared

    def _start(self, shared: Shared) -> None:
        """Begin the thread, which does all that was posted; try again in a while if that can't be."""
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        try:
            shared.worker.start()
        except OSError as error:
            obstacle = (
                f"The embedded registry can't begin for now ({error.strerror or error}): "
                "see to it, it is tried again every second"
            )
            if obstacle != self._obstacle:
                self._obstacle = obstacle
                for mailbox in self._mailboxes.values():
                    mailbox.stale(obstacle)
            self._starting = asyncio.get_running_loop().call_later(_RETRY, self._start, shared)
        else:
            self._obstacle = None

    def _enter(self, shared: Shared) -> None:
        self._site = shared.enter(self._location)

    def _entered(self) -> Site:
        """Return the site, on the worker's thread: entering was posted before whatever calls this."""
        if self._site is None:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")
        return self._site

    def _unwatch(self, feed: Feed) -> None:
        mailbox = self._mailboxes.pop(feed, None)
        if mailbox is not None and self._shared is not None:
            self._shared.worker.post(lambda: self._site.unwatch(mailbox) if self._site else None)

    def _begin_to_close(self) -> None:
        """Post all that closing takes; nobody has to wait for it, so a caller may be cancelled."""
        advertisements = tuple(self._advertisements)
        mailboxes = tuple(self._mailboxes.values())
        self._mailboxes.clear()
        for advertisement in advertisements:
            advertisement.end()
        for mailbox in mailboxes:
            mailbox.end()
        self._secrets.end()
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        shared = self._shared
        if shared is None:
            return
        loop = asyncio.get_running_loop()
        finished = self._finished = loop.create_future()

        def exit_site() -> None:
            site = self._entered()
            for mailbox in mailboxes:
                site.unwatch(mailbox)
            site.disown_all(advertisement.owner for advertisement in advertisements)
            self._site = None
            shared.exit(self._location)

        def settle() -> None:
            if last:
                # It has said that it does nothing more: this waits for the end of a function.
                shared.worker.join()
            for advertisement in advertisements:
                advertisement.settled()
            finished.set_result(None)

        shared.worker.post(exit_site)
        # Known to settle() in time: that runs on this loop, so after this.
        last = leave(shared, lambda: tell(loop, settle))

    def _unhealthy(self, problem: str) -> Health:
        return Health(
            url=self.url,
            state="stale",
            since=time.monotonic() - self._opened_at,
            writable=False,
            problem=problem,
        )

    def _health(self, condition: Condition) -> Health:
        details = {
            "changes": "polling" if condition.polling else "inotify",
            "own records": str(condition.owned),
        }
        if condition.known is None:
            details["changes"] = "not watched"
        else:
            details["records"] = str(condition.known)
        return Health(
            url=self.url,
            state="connected" if condition.attached else "stale",
            since=time.monotonic() - condition.since,
            writable=condition.attached and condition.problem is None,
            server=condition.folder,
            problem=condition.problem,
            details=details,
        )
