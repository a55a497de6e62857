"""One record that this process advertises, as its event loop sees it."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from peerage.backends.embedded.ownedrecord import OwnedRecord, Status
from peerage.backends.embedded.store import Store
from peerage.backends.feed import call_threadsafe
from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import OwnRecords, check_size

_LOG = logging.getLogger(__name__)

#: Seconds without any answer of the thread until the disk is taken to hang.
_PATIENCE: Final = 0.5


class EmbeddedAdvertisement:
    """A record kept in the folder until withdrawn; see :class:`peerage.registry.Advertisement`.

    *name* is the beginning of the record's name. *on_end* is called once, when the record is withdrawn.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        data: bytes,
        *,
        own_records: OwnRecords,
        on_end: Callable[["EmbeddedAdvertisement"], object],
    ) -> None:
        self._store = store
        self._own_records = own_records
        self._on_end = on_end
        self._status = Status()
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.record = OwnedRecord(
            name, data, lambda status: call_threadsafe(loop, partial(self._set_status, status))
        )
        store.thread.call_soon(lambda: store.advertise(self.record))

    @property
    def name(self) -> str | None:
        """The current name of the record, None while it isn't registered."""
        return None if self.record.withdrawn else self._status.name

    def update(self, data: bytes) -> None:
        """Replace the record in place; see :meth:`peerage.registry.Advertisement.update`."""
        self._check_open()
        check_size(data)
        record = self.record
        record.data = data
        if not record.write_scheduled:
            record.write_scheduled = True
            self._store.thread.call_soon(lambda: self._store.write(record))

    async def registered(self) -> str:
        """Wait until the record is in the folder; see :meth:`peerage.registry.Advertisement.registered`."""
        while True:
            self._check_open()
            if self._status.denied is not None:
                raise RegistryDeniedError(self._status.denied)
            if self._status.name is not None and self._status.data is self.record.data:
                return self._status.name
            self._changed.clear()
            await self._changed.wait()

    async def withdraw(self) -> None:
        """Remove the record for good; may be called twice."""
        self.end()
        thread = self._store.thread
        if not thread.started:
            # The record was never written, and won't be: the thread will find it withdrawn.
            return
        # A registry that is being closed removes the record itself.
        with suppress(RegistryClosedError):
            try:
                await thread.run(lambda: self._store.withdraw(self.record), _PATIENCE)
            except TimeoutError:
                if thread.is_new_hang():
                    _LOG.warning(
                        "The disk of the embedded registry doesn't answer. The record %s, and what is "
                        "withdrawn until it does, is removed then: check the disk.",
                        ascii(self._status.name or self.record.prefix),
                    )

    def end(self) -> None:
        """Write nothing more and wake all waiters; the registry closes the file."""
        if not self.record.withdrawn:
            self.record.withdrawn = True
            self._changed.set()
            self._on_end(self)

    def _set_status(self, status: Status) -> None:
        before, self._status = self._status.name, status
        if status.name is not None and status.name != before:
            self._own_records.add(status.name)
        self._changed.set()

    def _check_open(self) -> None:
        if self.record.withdrawn:
            raise RegistryClosedError(
                f"The record {self.record.prefix!a} is withdrawn: advertise another one."
            )
        if self._store.thread.closed:
            raise RegistryClosedError(
                f"The record {self.record.prefix!a} belongs to the process from which this one was forked: "
                "open another registry and advertise there."
            )
