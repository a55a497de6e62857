"""Blocking work that may hang for ever, such as that of a broken disk."""

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

_T = TypeVar("_T")


def in_daemon_thread(work: Callable[[], _T]) -> "asyncio.Future[_T]":
    """Do *work* in a thread of its own and return a future of its result.

    The threads of an executor aren't daemons: with one of them that hangs, the process couldn't exit.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type] # None only with an error, or as the result itself
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - raised where it is awaited
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            return  # the loop was closed meanwhile

    try:
        Thread(target=run, name="peerage-blocking", daemon=True).start()
    except RuntimeError as error:
        future.set_exception(OSError(f"no thread can be started: {error}"))
    return future
