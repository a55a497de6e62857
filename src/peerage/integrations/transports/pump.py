"""Gives the chunks of a request's body, which the caller's thread produces, to the event loop of another."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

#: What is given in the place of a chunk after the last one.
_END: Final = None


class Pump:
    """A body that is iterated in the caller's thread, while it waits for the loop that sends it.

    Args:
        body: yields the chunks.
    """

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body
        self._iterator: Iterator[bytes] | None = None
        # Futures of the loop that wait for a chunk, and those of the caller, which are done.
        self._asked: SimpleQueue[asyncio.Future[bytes | None] | Future[Any]] = SimpleQueue()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks, in the loop."""
        loop = asyncio.get_running_loop()
        while True:
            wanted: asyncio.Future[bytes | None] = loop.create_future()
            self._asked.put(wanted)
            if (chunk := await wanted) is _END:
                return
            yield chunk

    def serve(self, future: Future[Any]) -> None:
        """Produce the chunks that are asked for until *future* is done, in the caller's thread."""
        future.add_done_callback(self._asked.put)
        while (asked := self._asked.get()) is not future:
            if isinstance(asked, asyncio.Future):
                self._answer(asked)

    def _answer(self, wanted: "asyncio.Future[bytes | None]") -> None:
        if self._iterator is None:
            self._iterator = iter(self._body)
        try:
            chunk = next(self._iterator, _END)
        except Exception as error:  # noqa: BLE001 - raised in the loop, and from there to the caller
            self._in_loop(wanted, wanted.set_exception, error)
        else:
            self._in_loop(wanted, wanted.set_result, chunk)

    @staticmethod
    def _in_loop(wanted: "asyncio.Future[bytes | None]", settle: Any, value: object) -> None:
        def give() -> None:
            if not wanted.done():
                settle(value)

        # The loop is closed if the Discovery is.
        with suppress(RuntimeError):
            wanted.get_loop().call_soon_threadsafe(give)
