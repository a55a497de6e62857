"""An event loop whose time is virtual, and which runs the code of many simulated processes in one order.

It has no descriptor and no thread. Time jumps to the next timer when nothing is left to run, so a schedule of
hours takes milliseconds, and the same seed gives the same order of everything.
"""

import asyncio
import gc
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

from peerage.testing.simulation.process import PROCESS

if TYPE_CHECKING:
    from peerage.testing.simulation.network import Network

_T = TypeVar("_T")

#: Seconds of virtual time that each turn takes, so that what runs without a pause ends in time.
_TURN: Final = 1e-6

#: Cancelled timers are removed when there are so many, and they are more than half of all.
_MANY_TIMERS: Final = 100


#: Turns after which garbage is collected: at the same time in each run, unlike when Python decides it.
_COLLECT: Final = 100_000


class LivelockError(RuntimeError):
    """The event loop has taken more turns than the world allows; something seems to go on for ever."""


class DeadlockError(RuntimeError):
    """Nothing is left that could go on: no timer, no callback."""


class NotSimulatedError(RuntimeError):
    """The simulated code uses something of the operating system that isn't simulated."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} isn't simulated: what runs in a simulated world may only use the event loop, and what "
            "its host gives it."
        )


class SimulatedLoop(asyncio.BaseEventLoop):
    """The event loop of a simulated world; see :class:`peerage.testing.simulation.World`.

    A handle belongs to the process that is :data:`PROCESS` in its context. It waits while that process is
    stopped, and never runs once that process is dead.
    """

    network: "Network"
    _ready: deque[asyncio.Handle]
    # With the number of each, so that handles are never compared: that is slow and leaves the order open.
    _scheduled: list[tuple[float, int, asyncio.TimerHandle]]
    _timer_cancelled_count: int
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        # asyncio's debug mode notes where each callback was made, which costs more than running it.
        self.set_debug(False)
        self._now = 0.0
        self._timers = 0
        self.turns = 0
        """How many turns it has taken."""
        self.most_turns = 20_000_000
        """After how many LivelockError is raised."""

    def time(self) -> float:
        """Return the virtual monotonic time in seconds."""
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        if self._timer_cancelled_count > _MANY_TIMERS and 2 * self._timer_cancelled_count > len(scheduled):
            self._drop_cancelled()
            scheduled = self._scheduled
        while scheduled and scheduled[0][2]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)[2]._scheduled = False  # type: ignore[attr-defined]
        if not ready and not self._stopping:
            if not scheduled:
                raise DeadlockError("Nothing is left to run, and nothing will happen any more.")
            self._now = max(self._now, scheduled[0][0])
        now = self._now
        while scheduled and scheduled[0][0] <= now:
            timer = heapq.heappop(scheduled)[2]
            timer._scheduled = False  # type: ignore[attr-defined]
            ready.append(timer)
        self._now = now + _TURN
        self.turns += 1
        if not self.turns % _COLLECT:
            self._check()
        for _ in range(len(ready)):
            handle: Any = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is None or process.running:
                handle._run()
            else:
                process.parked.append(handle)

    def _check(self) -> None:
        if self.turns > self.most_turns:
            raise LivelockError(
                f"The simulation has taken {self.turns} turns, and {self._now:.3f} seconds of virtual time. "
                "If it isn't a loop that never pauses, set world.loop.most_turns."
            )
        gc.collect()

    def _drop_cancelled(self) -> None:
        left = []
        for entry in self._scheduled:
            if entry[2].cancelled():
                entry[2]._scheduled = False  # type: ignore[attr-defined]
            else:
                left.append(entry)
        heapq.heapify(left)
        self._scheduled = left
        self._timer_cancelled_count = 0

    # These are asyncio's own, without the checks of its debug mode: there are thousands of calls a schedule.

    def call_soon(  # type: ignore[override] # any arguments
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Call *callback* in the next turn."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override] # any arguments
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call *callback* after *delay* seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override] # any arguments
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call *callback* at *when*; of several that are due at the same time, the one asked for first."""
        self._timers += 1
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, (when, self._timers, timer))
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def create_task(
        self,
        coro: Coroutine[Any, Any, _T] | Generator[Any, None, _T],
        *,
        context: Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[_T]:
        """Create a task of the process that creates it, also in a *context* of its own."""
        process = PROCESS.get()
        if context is not None and process is not None and PROCESS not in context:
            context.run(PROCESS.set, process)
        task = super().create_task(coro, context=context, **kwargs)
        if process is not None:
            process.add(task)
        return task

    # Signals

    @property
    def _signal_handlers(self) -> dict[int, asyncio.Handle]:
        process = PROCESS.get()
        return {} if process is None else process.signals

    def add_signal_handler(self, sig: int, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override] # any arguments
        """Call *callback* when this process gets the signal *sig*."""
        self._signal_handlers[sig] = asyncio.Handle(callback, args, self, copy_context())

    def remove_signal_handler(self, sig: int) -> bool:
        """Let the signal *sig* end this process again."""
        return self._signal_handlers.pop(sig, None) is not None

    # The network

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> list[Any]:
        """Look up a host of the simulated network."""
        return await self.network.getaddrinfo(host, port, **kwargs)

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connect a simulated socket."""
        await self.network.sock_connect(sock, address)

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Connect to a listener of the simulated network."""
        return await self.network.create_connection(protocol_factory, host, port, **kwargs)

    async def create_server(  # type: ignore[override] # returns another kind of server
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, **kwargs: Any
    ) -> asyncio.AbstractServer:
        """Listen in the simulated network."""
        return await self.network.create_server(protocol_factory, host, port, **kwargs)

    # What isn't simulated

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override] # any arguments
        """Refuse: a thread runs when it likes."""
        del executor, args
        raise NotSimulatedError(f"A thread that runs {func!r}")

    def _make_socket_transport(self, *_: Any, **__: Any) -> Any:
        raise NotSimulatedError("A socket of the operating system")

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override] # any arguments
        """Refuse: there is no descriptor."""
        raise NotSimulatedError(f"The descriptor {fd!r}, for {callback!r} with {args!r},")

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override] # any arguments
        """Refuse: there is no descriptor."""
        self.add_reader(fd, callback, *args)

    def _process_events(self, event_list: Any) -> None:
        raise NotSimulatedError(f"A selector, with {event_list!r},")

    def _write_to_self(self) -> None:
        """Wake nobody: there is one thread."""
