"""A simulated process: what runs in it can be stopped, and ends without notice when it is killed."""

import asyncio
import signal
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from peerage.testing.simulation.transport import Endpoint, Listener

#: The process whose code runs; nothing outside of all of them, as in the kernels and in the world's own code.
PROCESS: Final[ContextVar["Process | None"]] = ContextVar("peerage_simulated_process", default=None)

#: Tasks after which those that have ended are forgotten.
_MOST_TASKS: Final = 64


class Process:
    """What belongs to one process of the operating system, from its start to its end.

    Args:
        name: of its host.
        ip: address of its machine.
    """

    def __init__(self, name: str, ip: str) -> None:
        self.name = name
        self.ip = ip
        self.running = True
        """Whether its code is run: it is neither stopped nor dead."""
        self.alive = True
        """Whether it has not ended."""
        self.parked: list[asyncio.Handle] = []
        """What the event loop would run if it were running. What a dead process left is never run."""
        self.signals: dict[int, asyncio.Handle] = {}
        """The handlers of signals that it has installed."""
        self.endpoints: dict[Endpoint, None] = {}
        """Its ends of connections."""
        self.listeners: dict[Listener, None] = {}
        """Where it listens."""
        self.at_end: list[Callable[[], object]] = []
        """Called when it has ended, in whatever way: the kernel and the registry notice it."""
        self.loop: asyncio.AbstractEventLoop | None = None
        self.main: asyncio.Task[None] | None = None
        """Runs its program; no one else may have a reference to it."""
        self._tasks: dict[int, weakref.ref[asyncio.Task[Any]]] = {}
        self._made = 0
        self._most = _MOST_TASKS
        self._kept: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        state = "dead" if not self.alive else "running" if self.running else "stopped"
        return f"<process of {self.name}, {state}>"

    def add(self, task: asyncio.Task[Any]) -> None:
        """Note that *task* is one of this process."""
        self._made += 1
        self._tasks[self._made] = weakref.ref(task)
        if len(self._tasks) > self._most:
            self._tasks = {number: each for number, each in self._tasks.items() if _is_pending(each())}
            self._most = max(_MOST_TASKS, 2 * len(self._tasks))

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that haven't ended, in the order in which they were created."""
        found = [each() for each in self._tasks.values()]
        return [task for task in found if task is not None and not task.done()]

    def stop(self) -> None:
        """Run none of its code until :meth:`resume`, as at SIGSTOP."""
        self.running = False

    def resume(self) -> None:
        """Run it again, as at SIGCONT: first what has become due meanwhile."""
        if self.alive and not self.running:
            self.running = True
            self._unpark()

    def end(self) -> None:
        """Run none of its code any more, not even what stands behind ``finally``."""
        if not self.alive:
            return
        self.alive = self.running = False
        # A task that is collected runs to its end.
        self._kept = self.tasks()
        for call in self.at_end:
            call()

    def signal(self, number: int) -> None:
        """Handle a signal, or end if that isn't handled."""
        if number == signal.SIGKILL or number not in self.signals:
            self.end()
        elif self.loop is not None:
            handle: Any = self.signals[number]
            self.loop.call_soon(handle._callback, *handle._args, context=handle._context)

    def revive(self) -> None:
        """Let what is left run to its end, when the world ends."""
        self.running = True
        self._unpark()

    def _unpark(self) -> None:
        parked, self.parked = self.parked, []
        for handle in parked:
            if not handle.cancelled() and self.loop is not None:
                self.loop._ready.append(handle)  # type: ignore[attr-defined]


def _is_pending(task: asyncio.Task[Any] | None) -> bool:
    return task is not None and not task.done()
