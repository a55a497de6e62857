"""A virtual clock for event loops: time passes by jumps from timer to timer, when nothing else happens.

``asyncio.sleep(30)``, deadlines, time-outs, ejections and the wait while draining take no real time, and
sockets on loopback work as always. Time jumps to the next timer when all this holds:

- Every event loop of the process that runs under the clock waits: none has a callback to run, and none has a
  socket or pipe that is ready. So a peer in another thread has all the time it needs for its answer.
- No function runs in an executor of such a loop (host look-ups, ``asyncio.to_thread``) or in a worker thread
  of anyio (synchronous handlers of FastAPI), and no :meth:`VirtualClock.paused` block is open.
- If sockets are open, that stays so for a millisecond of real time: the kernel hands on what was sent between
  two sockets of loopback, normally before the call that sends returns.

Otherwise time stands still, however long something takes, but for a microsecond at each turn of a loop: so
what happens first has an earlier time.

What other processes and other threads do isn't known here: a test that waits for them needs ``paused()`` or
real time.
"""

import asyncio
import math
import select
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, Self

from peerage import timing
from peerage.backends.feed import call_threadsafe

#: Real seconds for which nothing may happen before time jumps, if there are sockets.
_SETTLED: Final = 0.001

#: Seconds of virtual time that each turn of a loop takes.
_TURN: Final = 1e-6

#: What a selector without a socket still has: the loop's own pipe, by which other threads wake it.
_OWN_DESCRIPTORS: Final = 1


class VirtualClock:
    """Monotonic time that jumps over waits; a context manager, for one test or one simulation.

    ::

        with VirtualClock() as clock:
            asyncio.run(asyncio.sleep(3600))

    Every event loop of asyncio that begins to run inside follows it, in all threads, and so does everything
    of peerage that measures time; a loop that runs already needs :meth:`follow`. Loops of uvloop can't follow
    it. ``time.monotonic()`` and ``time.time()`` stay as they are: read ``loop.time()``.

    Raises:
        RuntimeError: another one is in use.
    """

    _in_use: "VirtualClock | None" = None

    def __init__(self) -> None:
        self._loops = _Loops(timing.monotonic())
        self._restore: list[Callable[[], object]] = []

    def time(self) -> float:
        """Return the monotonic time in seconds; after the end it goes on with real time, and never back."""
        return self._loops.time()

    def __enter__(self) -> Self:
        if VirtualClock._in_use is not None:
            raise RuntimeError("A virtual clock is in use already: there is one time in a process.")
        VirtualClock._in_use = self
        timing.set_clock(self.time)
        run_forever = asyncio.BaseEventLoop.run_forever

        def run(loop: asyncio.BaseEventLoop) -> None:
            self._follow_anyio()
            self.follow(loop)
            try:
                run_forever(loop)
            finally:
                self._loops.leave(loop)

        self._replace(asyncio.BaseEventLoop, "run_forever", run)
        return self

    def __exit__(self, *_: object) -> None:
        while self._restore:
            self._restore.pop()()
        VirtualClock._in_use = None
        self._loops.end()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no time pass in the block, which may be in any thread, because something unknown here runs."""
        self._loops.pause()
        try:
            yield
        finally:
            self._loops.go_on()
            self._loops.wake_one()

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let *loop*, in whose thread this is called, follow this clock until the clock or the loop ends.

        Raises:
            TypeError: it isn't one of asyncio's own.
        """
        if not isinstance(loop, asyncio.SelectorEventLoop):
            raise TypeError(
                f"A virtual clock needs an event loop of asyncio itself, not {type(loop).__name__}."
            )
        self._loops.add(loop)

    def _follow_anyio(self) -> None:
        """Let no time pass while a worker thread of anyio runs; it may have been imported meanwhile."""
        to_thread = sys.modules.get("anyio.to_thread")
        if to_thread is not None and not isinstance(to_thread.run_sync, partial):
            self._replace(to_thread, "run_sync", partial(self._loops.run_paused, to_thread.run_sync))

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        before = getattr(owner, name)
        setattr(owner, name, value)
        self._restore.append(lambda: setattr(owner, name, before))


class _Loops:
    """The event loops that follow a clock; decides when its time jumps. *now* is the time at first."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._ended_at: float | None = None
        self._lock = threading.Lock()
        self._waits: set[_Waits] = set()
        self._paused = 0

    def time(self) -> float:
        if self._ended_at is None:
            return self._now
        return self._now + max(0.0, time.monotonic() - self._ended_at)

    # Which loops there are

    def add(self, loop: asyncio.SelectorEventLoop) -> None:
        with self._lock:
            if not any(each.loop is loop for each in self._waits):
                self._waits.add(_Waits(self, loop))

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        for waits in tuple(self._waits):
            if waits.loop is loop:
                waits.leave()
                with self._lock:
                    self._waits.discard(waits)
        self.wake_one()

    def end(self) -> None:
        self._ended_at = time.monotonic()
        for waits in tuple(self._waits):
            self.leave(waits.loop)

    def wake_one(self) -> None:
        """Let a loop look anew whether time can jump."""
        with self._lock:
            for each in self._waits:
                each.wake()
                break

    # What works for a loop in other threads

    def pause(self) -> None:
        with self._lock:
            self._paused += 1

    def go_on(self, _: object = None) -> None:
        with self._lock:
            self._paused -= 1

    def run_in_executor(self, original: Callable[..., Any], *args: Any) -> Any:
        """Run a function in an executor; no time passes until the loop has its result."""
        future = original(*args)
        self.pause()
        future.add_done_callback(self.go_on)
        return future

    async def run_paused(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Await what works in a thread; no time passes meanwhile."""
        self.pause()
        try:
            return await original(*args, **kwargs)
        finally:
            self.go_on()

    # What the loops do

    def take_turn(self) -> None:
        """Let a little time pass, but not up to the next timer of a loop that waits: that would miss it."""
        with self._lock:
            now = self._now + _TURN
            if all(each.due is None or now < each.due for each in self._waits):
                self._now = now

    def wait(self, waits: "_Waits", timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until a descriptor of *waits* is ready, or *timeout* seconds of this time have passed."""
        due = math.inf if timeout is None else self._now + timeout
        if due <= self._now:
            return []
        with self._lock:
            waits.due = due
        try:
            while True:
                with self._lock:
                    target = self._next_timer()
                ready = waits.selector.select(None if target is None else self._settling())
                if ready or target is None:
                    return ready
                with self._lock:
                    if self._next_timer() == target and not self._is_ready():
                        self._jump(target)
                if self._now >= due:
                    return []
        finally:
            with self._lock:
                waits.due = None

    def _next_timer(self) -> float | None:
        """Return when the next timer of all loops is due; None if one isn't waiting, or there is no timer."""
        dues = [each.due for each in self._waits]
        if self._paused or not dues or None in dues:
            return None
        first = min(due for due in dues if due is not None)
        # A loop whose timer is due is about to run.
        return first if self._now < first < math.inf else None

    def _settling(self) -> float:
        with self._lock:
            sockets = any(len(each.selector.get_map()) > _OWN_DESCRIPTORS for each in self._waits)
        return _SETTLED if sockets else 0.0

    def _is_ready(self) -> bool:
        """Tell whether a loop that waits is about to be woken by one of its descriptors."""
        # Not by the selectors, at which other threads wait.
        poll = select.poll()
        for each in self._waits:
            for key in each.selector.get_map().values():
                reading = select.POLLIN if key.events & selectors.EVENT_READ else 0
                writing = select.POLLOUT if key.events & selectors.EVENT_WRITE else 0
                poll.register(key.fd, reading | writing)
        return bool(poll.poll(0))

    def _jump(self, target: float) -> None:
        self._now = target
        for each in self._waits:
            if each.due is not None and each.due <= target:
                each.wake()


class _Waits(selectors.BaseSelector):
    """The selector of one loop, which waits as *loops* says."""

    def __init__(self, loops: _Loops, loop: asyncio.SelectorEventLoop) -> None:
        self.loop = loop
        self.selector: selectors.BaseSelector = vars(loop)["_selector"]
        self.due: float | None = None
        """When its next timer is due, while it waits; None while it runs."""
        self._loops = loops
        # asyncio has no public way to replace these on a loop that exists.
        vars(loop).update(
            _selector=self,
            time=loops.time,
            run_in_executor=partial(loops.run_in_executor, loop.run_in_executor),
            shutdown_default_executor=partial(loops.run_paused, loop.shutdown_default_executor),
        )

    def leave(self) -> None:
        """Give the loop its own selector back; its time goes on from that of the clock."""
        own = vars(self.loop)
        if own.get("_selector") is self:
            own["_selector"] = self.selector
            del own["run_in_executor"], own["shutdown_default_executor"]
        self.wake()

    def wake(self) -> None:
        """Let the loop run once, if it runs."""
        if self.loop.is_running():
            call_threadsafe(self.loop, _nothing)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loops.take_turn()
        ready = self.selector.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._loops.wait(self, timeout)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self.selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.selector.modify(fileobj, events, data)

    def close(self) -> None:
        self.selector.close()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self.selector.get_key(fileobj)

    def get_map(self) -> Any:
        return self.selector.get_map()


def _nothing() -> None:
    """Take a turn of an event loop."""
