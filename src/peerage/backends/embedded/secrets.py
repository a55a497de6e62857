"""Shared secrets, each in a file of the user's folder."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from peerage.backends.embedded.mailbox import tell
from peerage.backends.embedded.process import Shared, ask
from peerage.backends.embedded.secretfile import SecretFile
from peerage.errors import RegistryDeniedError
from peerage.registry import check_size

if TYPE_CHECKING:
    from peerage.backends.embedded.worker import Timer, Worker

__all__ = ["EmbeddedSecrets", "SecretWatch"]

_LOG = logging.getLogger(__name__)

#: Seconds between looks at a secret that is followed.
_FOLLOW: Final = 0.2

#: Seconds until the next attempt to have the turn of making a secret: the first one, and the longest.
_TURN: Final = 0.002
_LONGEST_TURN: Final = 0.1


class EmbeddedSecrets:
    """Secrets under absolute names; see :class:`peerage.registry.Secrets`.

    Args:
        base: the user's folder.
        shared: returns what the process shares, or raises RegistryClosedError.
    """

    def __init__(self, base: str, shared: Callable[[], Shared]) -> None:
        self._base = base
        self._shared = shared
        self._watches: set[SecretWatch] = set()
        self._wanted: dict[SecretFile, Worker] = {}

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value; if there is none, one caller of all makes it, with *make*, on its event loop.

        Raises:
            RegistryDeniedError: an impossible name, an empty or too large value, a folder not to be trusted.
            RegistryClosedError: after the registry's aclose().
            OSError: no space, too many open files.
        """
        file, worker, delay = SecretFile(self._base, name), self._shared().worker, _TURN
        self._wanted[file] = worker
        try:
            while (value := await ask(worker, partial(self._read_or_take_turn, file))) is None:
                # Nobody tells that a lock is free again: it has to be tried.
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_TURN)
                self._shared()
            if not value:
                made = _checked(name, make())
                value = await ask(worker, lambda: file.create(made))
            return value
        finally:
            # Comes after an attempt that may still be under way, so it ends that one too.
            self._wanted.pop(file, None)
            worker.post(file.end_turn)

    @staticmethod
    def _read_or_take_turn(file: SecretFile) -> bytes | None:
        """Return the value; empty if there is none and it is our turn to make it; None if it isn't."""
        value = file.read()
        if value is None and file.try_turn():
            # It may have been made before the turn was free.
            return file.read() or b""
        return value

    async def replace(self, name: str, value: bytes) -> None:
        """Set a new value, as an administrator would who changes a key; followers are told.

        Raises:
            RegistryDeniedError: as in :meth:`obtain`.
            RegistryClosedError: after the registry's aclose().
            OSError: no space, too many open files.
        """
        file = SecretFile(self._base, name)
        _checked(name, value)
        await ask(self._shared().worker, lambda: file.replace(value))

    def follow(self, name: str) -> "SecretWatch":
        """Yield the value as soon as there is one, then every new one; ends with the registry.

        Raises:
            RegistryDeniedError: the name can't be one.
            RegistryClosedError: after the registry's aclose().
        """
        file = SecretFile(self._base, name)
        watch = SecretWatch(file, self._shared().worker, self._watches.discard)
        self._watches.add(watch)
        return watch

    def end(self) -> None:
        """End whatever follows a secret, and let others make those that are being made."""
        for file, worker in self._wanted.items():
            worker.post(file.end_turn)
        for watch in tuple(self._watches):
            watch.end()


class SecretWatch:
    """The newest value of one secret, whenever it is another one than before."""

    def __init__(self, file: SecretFile, worker: "Worker", on_end: Callable[["SecretWatch"], object]) -> None:
        self._file = file
        self._worker = worker
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._value: bytes | None = None
        self._ended = False
        # The thread's own
        self._told: bytes | None = None
        self._complaint: str | None = None
        self._timer: Timer | None = None
        worker.post(self._look)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._ended:
            value, self._value = self._value, None
            if value is not None:
                return value
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop following; may be called twice."""
        self.end()

    def end(self) -> None:
        """Stop following."""
        if not self._ended:
            self._ended = True
            self._wake.set()
            self._on_end(self)
            self._worker.post(self._stop)

    def _hear(self, value: bytes) -> None:
        self._value = value
        self._wake.set()

    def _look(self) -> None:
        """Look at the file, and again in a while; on the worker's thread."""
        if self._ended:
            return
        self._timer = self._worker.later(_FOLLOW, self._look)
        try:
            value = self._file.read()
        except (RegistryDeniedError, OSError) as error:
            if self._complaint is None:
                _LOG.warning("The secret %s can't be read: %s", self._file.name, error)
            self._complaint = str(error)
            return
        self._complaint = None
        if value is not None and value != self._told:
            self._told = value
            tell(self._loop, partial(self._hear, value))

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _checked(name: str, value: bytes) -> bytes:
    check_size(value)
    if not value:
        raise RegistryDeniedError(
            f"The secret {name!a} is empty: an empty file counts as one that isn't finished."
        )
    return value
