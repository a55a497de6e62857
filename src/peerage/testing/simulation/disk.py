"""The disk of a simulated machine, on which processes keep what outlives them."""

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import Any


class Disk:
    """Files by name, and how long it takes to read or write one.

    Args:
        random: source of the delays.
    """

    def __init__(self, random: Random) -> None:
        self.files: dict[str, bytes] = {}
        self.delay = (0.0001, 0.002)
        """The least and the most seconds that reading or writing takes; a slow disk has more."""
        self.error: OSError | None = None
        """What reading and writing raise at the moment, such as that the disk is full."""
        self._random = random

    def do(self, work: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Begin *work*, which reads or writes, and return the future of its result.

        A process that ends meanwhile has read and written nothing.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        least, most = self.delay

        def run() -> None:
            if done.cancelled():
                return
            if self.error is not None:
                done.set_exception(self.error)
                return
            try:
                done.set_result(work())
            except Exception as error:  # noqa: BLE001 - raised where it is awaited
                done.set_exception(error)

        loop.call_later(least + self._random.random() * (most - least), run)
        return done


class DiskFile:
    """One file of a :class:`Disk`; a :class:`peerage.disk_cache.cache.File`.

    Args:
        disk: has it.
        path: its name.
    """

    def __init__(self, disk: Disk, path: str) -> None:
        self.path = path
        self._disk = disk

    def read(self) -> bytes | None:
        """Return the content; None if there is no file."""
        return self._disk.files.get(self.path)

    def write(self, chunks: Iterable[bytes]) -> int:
        """Replace the content, and return the number of its bytes."""
        content = b"".join(chunks)
        self._disk.files[self.path] = content
        return len(content)
