"""One record of this process, as its event loop sees it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from peerage.backends.embedded.mailbox import tell
from peerage.backends.embedded.owner import Owner, Report, Wish
from peerage.backends.embedded.process import ask
from peerage.backends.embedded.site import Site
from peerage.backends.embedded.worker import Worker
from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import OwnRecords, check_size

__all__ = ["EmbeddedAdvertisement"]

_LOG = logging.getLogger(__name__)

#: Seconds the thread has to remove a record; it needs them only if the disk hangs.
_PATIENCE: Final = 0.5


class EmbeddedAdvertisement:
    """A record kept in the folder until withdrawn; see :class:`peerage.registry.Advertisement`.

    Args:
        worker: the thread that writes.
        site: returns the folder; called on the thread.
        name: what the node's name begins with.
        data: the record.
        own_records: receives each name that the record has.
        on_end: called once, when the record is withdrawn.
    """

    def __init__(
        self,
        worker: Worker,
        site: Callable[[], Site],
        name: str,
        data: bytes,
        *,
        own_records: OwnRecords,
        on_end: Callable[["EmbeddedAdvertisement"], object],
    ) -> None:
        self._worker = worker
        self._site = site
        self._own_records = own_records
        self._on_end = on_end
        self._report = Report(None, 0)
        self._changed = asyncio.Event()
        self._ended = False
        self._removed = False
        loop = asyncio.get_running_loop()
        self.owner = Owner(name, Wish(1, data), lambda report: tell(loop, partial(self._heard, report)))
        worker.post(lambda: site().own(self.owner))

    @property
    def name(self) -> str | None:
        """The current name of the record, None while it isn't registered."""
        return None if self._ended else self._report.node

    def update(self, data: bytes) -> None:
        """Replace the record in place; see :meth:`peerage.registry.Advertisement.update`.

        Raises:
            RegistryDeniedError: *data* is over the limit; the record stays as it was.
            RegistryClosedError: it was withdrawn.
        """
        self._check_open()
        check_size(data)
        owner = self.owner
        owner.wish = Wish(owner.wish.serial + 1, data)
        if not owner.posted:
            owner.posted = True
            self._worker.post(lambda: self._site().write(owner))

    async def registered(self) -> str:
        """Wait until the record, with the data given last, is in the folder, and return its node.

        Raises:
            RegistryDeniedError: the folder is refused, or may not be written; the message says what to do.
            RegistryClosedError: withdrawn or closed meanwhile.
        """
        while True:
            self._check_open()
            if self._report.denied is not None:
                raise RegistryDeniedError(self._report.denied)
            if self._report.node is not None and self._report.serial == self.owner.wish.serial:
                return self._report.node
            self._changed.clear()
            await self._changed.wait()

    async def withdraw(self) -> None:
        """Remove the record for good; may be called twice."""
        self.end()
        if not self._worker.started:
            # Never written, nor will it be: the thread will find it withdrawn.
            self._removed = True
        if not self._removed:
            # Asked for before the first wait: whoever cancels this doesn't cancel that.
            # A registry that is being closed takes the record away itself.
            with suppress(RegistryClosedError):
                try:
                    async with asyncio.timeout(_PATIENCE):
                        await ask(self._worker, lambda: self._site().disown(self.owner))
                except TimeoutError:
                    _LOG.warning(
                        "The disk doesn't answer: the record %s is withdrawn, and removed once it does.",
                        ascii(self._report.node or self.owner.name),
                    )
            self._removed = True

    def end(self) -> None:
        """Write nothing more, and tell whoever waits; the registry closes the file."""
        if not self._ended:
            self._ended = True
            self.owner.withdrawn = True
            self._changed.set()
            self._on_end(self)

    def settled(self) -> None:
        """The registry is closed and took the record away."""
        self._removed = True

    def _heard(self, report: Report) -> None:
        before, self._report = self._report.node, report
        if report.node is not None and report.node != before:
            self._own_records.add(report.node)
        self._changed.set()

    def _check_open(self) -> None:
        if self._ended:
            raise RegistryClosedError(f"The record {self.owner.name!a} is withdrawn: advertise another one.")
        if self._worker.closed:
            raise RegistryClosedError(
                f"The record {self.owner.name!a} is its parent's, this is a forked child: "
                "open another registry and advertise there."
            )
