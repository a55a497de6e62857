"""The life of an application: init-time, run-time, exit-time.

Whatever happens, everything that was made is finalized, in order, before ``run()`` is left. Coroutines of the
program are waited for: a stop asks, it doesn't interrupt. Who sends the signal again, interrupts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from peerage.asab.config import Config
from peerage.asab.lane import Lane
from peerage.asab.leftovers import end_leftovers
from peerage.asab.log import LOG_NOTICE
from peerage.asab.parts import Floor, Part
from peerage.asab.ticks import tick
from peerage.errors import PeerageError

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Lifecycle"]

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[Any]]

#: Seconds after a stop until the log says what is waited for.
_PATIENCE: Final = 5.0


class Lifecycle:
    """Leads an application and its parts through their life; made with the application."""

    def __init__(self, app: "Application") -> None:
        self._app = app
        self._parts: list[Part] = []
        self._own = Lane(self._initialize_own)
        self._users = Lane(self._initialize_users, last_first=True)
        self._web = Lane(self._initialize_web)
        self._workers: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._failed = asyncio.Event()
        self._withdrawn: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._interruptible: set[asyncio.Task[None]] = set()
        self._interrupted = False
        self._waiting_for: list[str] = []

    # What the application tells

    def enlist(self, part: Part) -> None:
        """Initialize *part* in its turn, also while the application runs, and finalize it in the end."""
        self._parts.append(part)
        if part.floor.own:
            self._own.add(part)
        else:
            (self._web if part.floor is Floor.WEB else self._users).add(part)

    def request_stop(self) -> None:
        """End run-time; what the program still does is waited for."""
        if not self._stop.is_set():
            self._stop.set()
            self._app.Loop.call_later(_PATIENCE, self._say_what_is_waited_for)

    def interrupt(self) -> None:
        """Cancel ``initialize()`` and ``main()``, of the application and of services."""
        self._interrupted = True
        self._users.interrupt()
        for task in self._interruptible:
            task.cancel()

    def fail(self, error: BaseException) -> None:
        """End the application, and leave ``run()`` with the first error of all."""
        if self._failure is not None:
            log.error("While ending because of another error: %r", error, exc_info=error)
            return
        self._failure = error
        self._failed.set()
        if not self._stop.is_set():
            self._app.stop()

    # The whole

    def run(self) -> None:
        """Live.

        Raises:
            BaseException: what came out of ``initialize()``, ``main()`` or ``finalize()``.
            SystemExit: a part of this layer couldn't start; the log says why.
        """
        loop = self._app.Loop
        try:
            life = loop.create_task(self._live(), name="peerage.asab: life of the application")
            while not life.done():
                try:
                    loop.run_until_complete(life)
                except BaseException as error:
                    if life.done():
                        raise
                    self.fail(error)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()
        if self._failure is not None:
            raise self._failure

    async def _live(self) -> None:
        log.info("Initializing")
        await self._unless_failed(self._initialize())
        # What initialize() didn't come to, main() would look for.
        if self._failure is None and not self._interrupted:
            log.log(LOG_NOTICE, "is ready.")
            await self._unless_failed(self._serve())
        await self._end()

    async def _initialize(self) -> None:
        app = self._app
        self._publish("Application.init!")
        self._work(self._own)
        await self._own.idle()
        if self._failure is not None:
            return
        # In this order: a service that doesn't wait is initialized before the application.
        self._work(self._users)
        initialized = self._start_interruptible("initialize()", app.initialize)
        # Routes are added until then; the first step of initialize() is made meanwhile.
        await self._users.idle()
        await asyncio.sleep(0)
        self._work(self._web)
        await asyncio.wait((initialized,))
        while not all(lane.is_idle for lane in (self._own, self._users, self._web)):
            await self._own.idle()
            await self._users.idle()
            await self._web.idle()

    async def _serve(self) -> None:
        self._publish("Application.run!")
        if Config.getboolean("housekeeping", "run_at_startup", fallback=False):
            self._publish("Application.housekeeping!")
        main = self._start_interruptible("main()", self._app.main)
        await tick(self._publish, Config.getseconds("general", "tick_period"), self._stop.wait)
        await self._withdraw()
        await asyncio.wait((main,))
        await self._users.idle()

    async def _end(self) -> None:
        await self._withdraw()
        # Not before main() is over: it may do its last work by requests.
        await self._drain(Floor.WEB)
        await _cancel(self._workers)
        log.log(LOG_NOTICE, "is exiting ...")
        finalized = self._start("finalize()", self._app.finalize)
        # Made first, it takes its first step first: as documented, 'exit!' comes after that.
        await asyncio.sleep(0)
        self._publish("Application.exit!")
        await self._finalize(Floor.USER, Floor.WEB)
        await self._finalize(Floor.MODULE)
        await asyncio.wait((finalized,))
        for floor in (Floor.API, Floor.DISCOVERY, Floor.ZOOKEEPER):
            await self._finalize(floor)
        await end_leftovers()

    # Coroutines of the program

    def _start(self, name: str, work: Work) -> asyncio.Task[None]:
        """Run a coroutine function of the application's; its exception ends the application."""
        return self._app.Loop.create_task(self._guard(name, work), name=f"peerage.asab: {name}")

    def _start_interruptible(self, name: str, work: Work) -> asyncio.Task[None]:
        """Likewise; :meth:`interrupt` cancels it."""
        task = self._start(name, work)
        self._interruptible.add(task)
        task.add_done_callback(self._interruptible.discard)
        return task

    async def _guard(self, name: str, work: Work) -> None:
        with self._mark(name):
            try:
                await work()
            except BaseException as error:  # noqa: BLE001 - it leaves run(), after everything is finalized
                if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                    log.warning("%s was interrupted", name)
                else:
                    self.fail(error)

    async def _unless_failed(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for *work*, but not once the application has failed."""
        task = asyncio.ensure_future(work)
        failed = asyncio.ensure_future(self._failed.wait())
        try:
            await asyncio.wait((task, failed), return_when=asyncio.FIRST_COMPLETED)
            if task.done() and (error := task.exception()) is not None:
                self.fail(error)
        finally:
            await _cancel((task, failed, *(self._interruptible if self._failed.is_set() else ())))

    # Parts

    def _work(self, lane: Lane) -> None:
        self._workers.append(self._app.Loop.create_task(lane.work(), name="peerage.asab: initializing"))

    async def _initialize_own(self, part: Part) -> None:
        with self._mark(f"{part.name}.initialize()"):
            await _attempt(partial(part.initialize, self._app), partial(self._refuse_to_start, part))

    def _refuse_to_start(self, part: Part, error: BaseException) -> None:
        if isinstance(error, PeerageError):
            log.critical("%s can't start: %s", part.name, error)
        else:
            log.critical("%s can't start", part.name, exc_info=error)
        self.fail(SystemExit(1))

    async def _initialize_web(self, part: Part) -> None:
        # Made after run-time began: what the program does next, it does first.
        await asyncio.sleep(0)
        await self._initialize_own(part)

    async def _initialize_users(self, part: Part) -> None:
        name = f"{part.name}.initialize()"
        with self._mark(name):
            await _attempt(partial(part.initialize, self._app), partial(_say_failed, name))

    async def _withdraw(self) -> None:
        """Let others hear that no new requests are wanted; once."""
        if self._withdrawn is None:
            self._withdrawn = asyncio.ensure_future(self._drain(Floor.API, Floor.DISCOVERY, Floor.ZOOKEEPER))
        await asyncio.shield(self._withdrawn)

    async def _drain(self, *floors: Floor) -> None:
        for part in sorted(self._parts, key=lambda each: -each.floor):
            if part.floor in floors and part.drain is not None:
                await self._run_last(f"{part.name}.drain()", partial(part.drain, self._app))

    async def _finalize(self, *floors: Floor) -> None:
        parts = [part for part in self._parts if part.floor in floors]
        await asyncio.gather(
            *(self._run_last(f"{part.name}.finalize()", partial(part.finalize, self._app)) for part in parts)
        )

    async def _run_last(self, name: str, work: Work) -> None:
        """Run something of the end; that it fails keeps nobody else from ending."""
        with self._mark(name):
            try:
                await _attempt(work, partial(_say_failed, name))
            except SystemExit as error:
                self.fail(error)

    # What is told, and what is waited for

    def _publish(self, message_type: str) -> None:
        try:
            self._app.PubSub.publish(message_type)
        except SystemExit as error:  # a callback's; whatever else they raise is logged there
            self.fail(error)

    @contextmanager
    def _mark(self, name: str) -> Iterator[None]:
        self._waiting_for.append(name)
        try:
            yield
        finally:
            self._waiting_for.remove(name)

    def _say_what_is_waited_for(self) -> None:
        if self._waiting_for:
            log.warning(
                "Stopping waits for %s. Let it end on 'Application.stop!'; a second signal interrupts "
                "initialize() and main(), a third ends the process at once.",
                ", ".join(self._waiting_for),
            )


async def _attempt(work: Work, failed: Callable[[BaseException], None]) -> None:
    """Run *work*, and call *failed* with the exception that comes out of it, if one does."""
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - that is what it is for
        failed(error)
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        # Something that it waited for was: who cancels a task of theirs and waits for its end gets this.
        failed(error)


def _say_failed(name: str, error: BaseException) -> None:
    log.error("%s failed", name, exc_info=error)


def _is_cancelled() -> bool:
    """Tell whether somebody wants the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _cancel(tasks: Any) -> None:
    tasks = tuple(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
