"""The one thread of a process that touches the disk for its embedded registries.

Event loops hand it calls (:meth:`Worker.post`) and get answers through ``call_soon_threadsafe``; nothing
else is shared. It waits in one ``poll`` for calls, timers and inotify, and does long work, such as the scan
of a large folder, in slices between them.
"""

import errno
import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from peerage.backends.embedded import forks

__all__ = ["Job", "Timer", "Worker"]

_LOG = logging.getLogger(__name__)

#: Seconds of long work before calls, timers and inotify have their turn again.
_SLICE: Final = 0.002

_END: Final = object()


class Timer:
    """A call that is due at a time; made by :meth:`Worker.later`."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        """Don't make the call; may come too late or twice."""
        self.call = None


class Job:
    """Long work in small steps; made by :meth:`Worker.spawn`."""

    def __init__(self, steps: Iterator[object], done: Callable[["Job"], object]) -> None:
        self.cpu = 0.0
        """Seconds of processor time it took so far."""
        self._steps = steps
        self._done: Callable[[Job], object] | None = done

    def cancel(self) -> None:
        """Take no further step and don't call *done*."""
        self._done = None

    def advance(self, until: float) -> bool:
        """Take steps until the monotonic time *until*; False when there are none left."""
        began = time.thread_time()
        unfinished = True
        while unfinished and self._done is not None:
            unfinished = next(self._steps, _END) is not _END
            if time.monotonic() >= until:
                break
        self.cpu += time.thread_time() - began
        if self._done is not None and not unfinished:
            self._done(self)
        return unfinished and self._done is not None


class Worker:
    """A thread that waits for calls, timers and descriptors; others use ``post``, ``stop`` and ``join``.

    It begins with :meth:`start`, which may fail and be tried again; what is posted before waits for it.
    """

    def __init__(self) -> None:
        self._posted: deque[Callable[[], object]] = deque()
        self._gate = threading.RLock()
        self._closed = False
        self._awake = False
        self._stopping = False
        self._timers: list[tuple[float, int, Timer]] = []
        self._tie_breaker = itertools.count()
        self._jobs: deque[Job] = deque()
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._wake_reader = self._wake_writer = -1
        self._thread: threading.Thread | None = None

    # From any thread

    def start(self) -> None:
        """Begin the thread, unless it has begun or was told to stop.

        Raises:
            OSError: no descriptors or no threads are left; it can be tried again.
        """
        with forks.HELD, self._gate:
            if self._thread is not None or self._closed:
                return
            reader, writer = map(forks.keep, os.pipe())
            try:
                os.set_blocking(reader, False)
                os.set_blocking(writer, False)
                self._wake_reader, self._wake_writer = reader, writer
                self.add_reader(reader, self._woken)
                # For what was posted already.
                self._awake = True
                os.write(writer, b"\0")
                # A daemon only so that a program may end without closing its registries.
                thread = threading.Thread(target=self._run, name="peerage-embedded", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    raise OSError(errno.EAGAIN, "no thread can be started") from error
            except BaseException:
                self.remove_reader(reader)
                self._awake = False
                forks.close(reader)
                forks.close(writer)
                raise
            self._thread = thread

    @property
    def started(self) -> bool:
        """Whether there is, or was, a thread."""
        return self._thread is not None

    @property
    def closed(self) -> bool:
        """Whether nothing can be posted any more: after :meth:`stop`, and in a forked child."""
        return self._closed

    def post(self, call: Callable[[], object]) -> bool:
        """Have *call* made on the thread, after all that were posted before; False if it is closed."""
        with self._gate:
            if self._closed:
                return False
            self._posted.append(call)
            if not self._awake and self._thread is not None:
                self._awake = True
                os.write(self._wake_writer, b"\0")
            return True

    def stop(self, finished: Callable[[], object]) -> None:
        """End the thread after all that was posted; *finished* is called there, as the last thing.

        If it never began, nothing of what was posted is done, and *finished* is called at once.
        """

        def last() -> None:
            self._stopping = True
            self._finished = finished

        with self._gate:
            self.post(last)
            self._closed = True
            if self._thread is not None:
                return
            self._posted.clear()
        finished()

    def abandon(self) -> None:
        """In a forked child there is no such thread, and its pipe is closed already."""
        self._gate = threading.RLock()  # whoever had the old one isn't here
        self._closed = True

    def join(self) -> None:
        """Wait for the end of the thread; at once after *finished* of :meth:`stop`."""
        if self._thread is not None:
            self._thread.join()

    # On the thread

    def later(self, delay: float, call: Callable[[], object]) -> Timer:
        """Make *call* in *delay* seconds."""
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._tie_breaker), timer))
        return timer

    def spawn(self, steps: Iterator[object], done: Callable[[Job], object]) -> Job:
        """Begin long work, which is interrupted after any of its steps, and call *done* at its end."""
        job = Job(steps, done)
        self._jobs.append(job)
        return job

    def add_reader(self, fd: int, call: Callable[[], object]) -> None:
        """Make *call* whenever *fd* is readable."""
        self._readers[fd] = call
        self._poll.register(fd, select.POLLIN)

    def remove_reader(self, fd: int) -> None:
        """Watch *fd* no longer."""
        del self._readers[fd]
        self._poll.unregister(fd)

    def _run(self) -> None:
        while not self._stopping:
            for fd, _ in self._poll.poll(self._patience()):
                if fd in self._readers:
                    self._make(self._readers[fd])
            self._make_due_calls()
            self._advance_jobs()
        with forks.HELD:
            forks.close(self._wake_reader)
            forks.close(self._wake_writer)
        self._finished()

    def _patience(self) -> float | None:
        """Milliseconds until something has to be done; None if nothing has."""
        if self._jobs:
            return 0
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) * 1000 if self._timers else None

    def _woken(self) -> None:
        os.read(self._wake_reader, 4096)
        # In this order: what is posted from now on writes another byte, the rest is in the queue.
        self._awake = False
        while self._posted and not self._stopping:
            self._make(self._posted.popleft())

    def _make_due_calls(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                self._make(call)

    def _advance_jobs(self) -> None:
        until = time.monotonic() + _SLICE
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            try:
                unfinished = job.advance(until)
            except Exception:  # noqa: BLE001 - see _make
                _LOG.exception("A fault in the embedded registry: please report it with this trace.")
                unfinished = False
            if unfinished:
                self._jobs.append(job)

    def _make(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - one fault must not end the thread, on which all depends
            _LOG.exception("A fault in the embedded registry: please report it with this trace.")
