"""Tasks that a program leaves running when it ends."""

import asyncio
import logging
from typing import Final

__all__ = ["end_remaining_tasks"]

log = logging.getLogger(__name__)

#: Seconds that tasks have to end without being cancelled, as in ASAB.
_TO_END: Final = 3.0
#: Seconds that they have to end after that.
_TO_BE_CANCELLED: Final = 1.0


async def end_remaining_tasks() -> None:
    """Wait some seconds for all other tasks of this event loop, then cancel them."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _TO_END
    while (tasks := _others()) and (left := deadline - loop.time()) > 0:
        await asyncio.wait(tasks, timeout=left)
    if not tasks:
        return
    log.warning("Tasks that still ran at the end were cancelled: %s", _names(tasks))
    for task in tasks:
        task.cancel()
    _, unending = await asyncio.wait(tasks, timeout=_TO_BE_CANCELLED)
    if unending:
        log.error("Tasks don't end although they were cancelled: %s", _names(unending))


def _others() -> set["asyncio.Task[object]"]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def _names(tasks: set["asyncio.Task[object]"]) -> str:
    return ", ".join(sorted(f"{task.get_name()} ({task.get_coro()!r})" for task in tasks))
