"""Runs coroutines in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from peerage.asab.abc import Service

if TYPE_CHECKING:
    from peerage.asab.application import Application

log = logging.getLogger(__name__)

#: The longest pause, in seconds, before a function that keeps failing is called again.
_LONGEST_PAUSE: Final = 5.0

Work = Coroutine[Any, Any, Any] | asyncio.Future[Any]


class TaskService(Service):
    """``app.TaskService``: runs coroutines in the application's event loop and logs their exceptions.

    Work that is scheduled before the loop runs starts once the services made until then are initialized,
    because it may use them. Work that still runs at the end is cancelled.
    """

    def __init__(self, app: "Application", service_name: str = "asab.TaskService") -> None:
        super().__init__(app, service_name)
        self._waiting: list[Work] | None = []
        self._tasks: set[asyncio.Future[Any]] = set()

    def schedule(self, *tasks: Work) -> None:
        """Run coroutines, tasks or futures; ``TaskService.task_done!`` is published as each ends.

        Raises:
            TypeError: an argument is something else.
        """
        for task in tasks:
            if not (asyncio.iscoroutine(task) or asyncio.isfuture(task)):
                raise TypeError(
                    f"schedule() runs coroutines, and {task!r} isn't one: call the coroutine function, "
                    "schedule(work()), or give the function itself to run_forever(work)."
                )
            if self._waiting is not None:
                self._waiting.append(task)
            else:
                self._run(task)

    def schedule_threadsafe(self, *tasks: Work) -> None:
        """Do the same from another thread."""
        self.App.Loop.call_soon_threadsafe(self.schedule, *tasks)

    def run_forever(self, *async_functions: Callable[[], Awaitable[Any]]) -> None:
        """Run coroutine functions, again whenever they return or fail, until the application ends."""
        for function in async_functions:
            self.schedule(_forever(function))

    async def initialize(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each service
        """Start what was scheduled so far; from now on, work starts when it is scheduled."""
        waiting, self._waiting = self._waiting or [], None
        for task in waiting:
            self._run(task)

    async def finalize(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each service
        """Cancel the work that still runs, and wait until it has ended."""
        for work in self._waiting or ():
            if asyncio.iscoroutine(work):
                work.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Work) -> None:
        task = asyncio.ensure_future(work, loop=self.App.Loop)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A scheduled task failed: %r", task, exc_info=error)
        self.App.PubSub.publish("TaskService.task_done!", task)


async def _forever(function: Callable[[], Awaitable[Any]]) -> None:
    failures = 0
    while True:
        try:
            await function()
            failures = 0
        except Exception:
            log.exception("%r failed and is started again", function)
            failures += 1
        # Without a pause a function that keeps failing would fill the log, and one that never waits would
        # stop the event loop.
        await asyncio.sleep(min(2.0 ** (failures - 5), _LONGEST_PAUSE) if failures > 1 else 0)
