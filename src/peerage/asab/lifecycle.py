"""The lifecycle of an application: init-time, run-time, exit-time.

Every part that was made is finalized, in order, before ``run()`` ends, also after an error. A stop waits for
the coroutines of the program; a second signal cancels them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from peerage.asab.config import Config
from peerage.asab.log import LOG_NOTICE
from peerage.asab.parts import Part, Phase
from peerage.errors import PeerageError

if TYPE_CHECKING:
    from peerage.asab.application import Application

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[Any]]

#: Seconds after a stop until the log names what still runs.
REPORT_AFTER: Final = 5.0

#: After so many ticks, ``Application.tick/…!`` is published as well.
_EVERY: Final = (10, 60, 300, 600, 1800, 3600, 43200, 86400)

#: Seconds that tasks have to end without being cancelled, as in ASAB.
_TO_END: Final = 3.0
#: Seconds that they have to end after that.
_TO_BE_CANCELLED: Final = 1.0


#: Parts to initialize, each behind the numbers by which they are ordered.
_Queue = asyncio.PriorityQueue[tuple[Phase, int, Part]]


class Lifecycle:
    """Initializes, runs and finalizes an application and its parts."""

    def __init__(self, app: "Application") -> None:
        self._app = app
        self._parts: list[Part] = []
        self._own, self._users, self._web = _Queue(), _Queue(), _Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        # Set by an error and by a second signal: what runs is cancelled, and the end begins.
        self._cut_short = asyncio.Event()
        self._withdrawn: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._started: list[asyncio.Task[None]] = []
        self._waiting_for: list[str] = []

    # Called by the application

    def enlist(self, part: Part) -> None:
        """Initialize *part* in its turn, also while the application runs, and finalize it at the end."""
        self._parts.append(part)
        number = len(self._parts)
        if part.phase <= Phase.API:
            self._own.put_nowait((part.phase, number, part))
        elif part.phase is Phase.WEB:
            self._web.put_nowait((part.phase, number, part))
        else:
            # Within one phase, the part that was made last comes first.
            self._users.put_nowait((part.phase, -number, part))

    def request_stop(self) -> None:
        """End run-time once the work of the program is done."""
        if not self._stop.is_set():
            self._stop.set()
            self._app.Loop.call_later(REPORT_AFTER, self._report_waiting)

    def interrupt(self) -> None:
        """Cancel ``initialize()`` of services and the application, and ``main()``; finalize nevertheless."""
        self._cut_short.set()

    def fail(self, error: BaseException) -> None:
        """End the application; ``run()`` raises the first of all errors."""
        if self._failure is not None:
            log.error(
                "Another error, while the application ends because of an earlier one: %r",
                error,
                exc_info=error,
            )
            return
        self._failure = error
        self._cut_short.set()
        if not self._stop.is_set():
            self._app.stop()

    # Run

    def run(self) -> None:
        """Run the application to its end; it raises what :meth:`Application.run` does."""
        loop = self._app.Loop
        try:
            main = loop.create_task(self._run_parts(), name="peerage.asab: application")
            while not main.done():
                try:
                    loop.run_until_complete(main)
                except BaseException as error:
                    if main.done():
                        raise
                    self.fail(error)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
        if self._failure is not None:
            raise self._failure

    async def _run_parts(self) -> None:
        log.info("Initializing")
        await self._unless_cut_short(self._initialize())
        # main() expects that initialize() is complete.
        if not self._cut_short.is_set():
            log.log(LOG_NOTICE, "is ready.")
            await self._unless_cut_short(self._serve())
        await self._end()

    async def _initialize(self) -> None:
        app = self._app
        self._publish("Application.init!")
        self._work(self._own)
        await self._own.join()
        if self._failure is not None:
            return
        # In this order, a service whose initialize() doesn't wait is ready before the application's.
        self._work(self._users)
        initialized = self._start("initialize()", app.initialize)
        # Until then routes may be added; the first step of initialize() is done meanwhile.
        await self._users.join()
        await asyncio.sleep(0)
        self._work(self._web)
        await asyncio.wait((initialized,))
        known = -1
        while known != len(self._parts):  # a part may have made another one
            known = len(self._parts)
            for queue in (self._own, self._users, self._web):
                await queue.join()

    async def _serve(self) -> None:
        self._publish("Application.run!")
        # A program may have a parser without this option.
        if getattr(self._app.Args, "startup_housekeeping", None):
            self._publish("Application.housekeeping!")
        main = self._start("main()", self._app.main)
        await tick(self._publish, Config.getseconds("general", "tick_period"), self._stop.wait)
        await self._withdraw()
        await asyncio.wait((main,))
        await self._users.join()

    async def _end(self) -> None:
        await self._withdraw()
        # Not before main() is over, which may still need requests to be answered.
        await self._drain(Phase.WEB)
        await _cancel(self._workers)
        log.log(LOG_NOTICE, "is exiting ...")
        finalized = self._start("finalize()", self._app.finalize)
        # As documented, 'exit!' is published after the first step of finalize().
        await asyncio.sleep(0)
        self._publish("Application.exit!")
        await self._finalize(Phase.USER, Phase.WEB)
        await self._finalize(Phase.MODULE)
        await asyncio.wait((finalized,))
        for phase in (Phase.API, Phase.DISCOVERY, Phase.ZOOKEEPER):
            await self._finalize(phase)
        await _end_remaining_tasks()

    # Coroutines of the program

    def _start(self, name: str, work: Work) -> asyncio.Task[None]:
        """Run a coroutine function of the application; its exception ends the application."""
        task = self._app.Loop.create_task(self._step(name, work, self.fail), name=f"peerage.asab: {name}")
        self._started.append(task)
        return task

    async def _step(
        self, name: str, work: Work, failed: Callable[[BaseException], None] | None = None
    ) -> None:
        """Run *work*; if it raises an exception, call *failed* with it, by default log it."""
        self._waiting_for.append(name)
        try:
            await work()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                log.warning("%s was interrupted", name)
                raise
            if isinstance(error, SystemExit | KeyboardInterrupt):
                self.fail(error)
            elif failed is not None:
                failed(error)
            else:
                log.error("%s failed", name, exc_info=error)  # noqa: TRY400 - for BaseException, too
        finally:
            self._waiting_for.remove(name)

    async def _unless_cut_short(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for *work*, or until an error or a second signal ends the application."""
        task = asyncio.ensure_future(work)
        cut_short = asyncio.ensure_future(self._cut_short.wait())
        try:
            await asyncio.wait((task, cut_short), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and (error := task.exception()) is not None:
                self.fail(error)
        finally:
            await _cancel((task, cut_short, *(self._started if self._cut_short.is_set() else ())))

    # Parts

    def _work(self, queue: _Queue) -> None:
        """Initialize the parts that are put into *queue*, until the end."""

        async def work() -> None:
            while True:
                *_, part = await queue.get()
                await self._initialize_part(part)
                queue.task_done()

        self._workers.append(self._app.Loop.create_task(work(), name="peerage.asab: initializing"))

    async def _initialize_part(self, part: Part) -> None:
        if part.phase is Phase.WEB:
            # For a part made during run-time, the program's next step comes first.
            await asyncio.sleep(0)
        failed = None if part.phase in {Phase.MODULE, Phase.USER} else partial(self._refuse_to_start, part)
        await self._step(f"{part.name}.initialize()", partial(part.initialize, self._app), failed)

    def _refuse_to_start(self, part: Part, error: BaseException) -> None:
        if isinstance(error, PeerageError):
            log.critical("%s can't start: %s", part.name, error)
        else:
            log.critical("%s can't start", part.name, exc_info=error)
        self.fail(SystemExit(1))

    async def _withdraw(self) -> None:
        """Tell callers, once, that no new requests are wanted."""
        if self._withdrawn is None:
            self._withdrawn = asyncio.ensure_future(self._drain(Phase.API, Phase.DISCOVERY, Phase.ZOOKEEPER))
        await asyncio.shield(self._withdrawn)

    async def _drain(self, *phases: Phase) -> None:
        for part in sorted(self._parts, key=lambda each: -each.phase):
            if part.phase in phases and part.drain is not None:
                await self._step(f"{part.name}.drain()", partial(part.drain, self._app))

    async def _finalize(self, *phases: Phase) -> None:
        parts = [part for part in self._parts if part.phase in phases]
        await asyncio.gather(
            *(self._step(f"{part.name}.finalize()", partial(part.finalize, self._app)) for part in parts)
        )

    # Messages and reports

    def _publish(self, message_type: str) -> None:
        try:
            self._app.PubSub.publish(message_type)
        except SystemExit as error:  # of a callback; PubSub logs its other exceptions
            self.fail(error)

    def _report_waiting(self) -> None:
        if self._waiting_for:
            log.warning(
                "Stopping waits for %s. Let it end on 'Application.stop!'; a second signal interrupts "
                "initialize() and main(), a third one ends the process immediately.",
                ", ".join(self._waiting_for),
            )


def _is_cancelled() -> bool:
    """Tell whether the current task itself was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _cancel(tasks: Any) -> None:
    tasks = tuple(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _end_remaining_tasks() -> None:
    """Wait some seconds for all other tasks of this event loop, then cancel them."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _TO_END
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    while tasks and (left := deadline - loop.time()) > 0:
        await asyncio.wait(tasks, timeout=left)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        names = ", ".join(sorted(f"{task.get_name()} ({task.get_coro()!r})" for task in tasks))
        log.warning("Tasks that still ran at the end were cancelled: %s", names)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_TO_BE_CANCELLED)


async def tick(
    publish: Callable[[str], object], period: float, until: Callable[[], Awaitable[object]]
) -> None:
    """Publish a tick each *period* seconds until the awaitable that *until* returns is done."""
    cycle = 0
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(period):
                await until()
                return
        cycle += 1
        publish("Application.tick!")
        for every in _EVERY:
            if cycle % every == 0:
                publish(f"Application.tick/{every}!")
