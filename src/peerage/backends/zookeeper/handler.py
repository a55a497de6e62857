"""kazoo's interface to threads and sockets, with threads for callbacks only once others need them."""

import logging
import math
import select
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from socket import socket
from typing import Any, Final

from kazoo.exceptions import ConnectionClosedError
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import Callback

from peerage.backends.zookeeper.dialing import Dialer

log = logging.getLogger(__name__)

#: Seconds between two checks of whether the event can still be set.
_CHECK_INTERVAL: Final = 0.2

#: Seconds that the end of the client waits for callbacks under way.
_CALLBACK_TIMEOUT: Final = 0.3


def ignore(_event: object) -> None:
    """Stand for a watch of the registry, which gets each event as a note."""


class Handler(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """The handler of one client, whose sockets *dialer* opens."""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__()
        self.dialer = dialer
        self.connecting = False
        self.over = threading.Event()
        """Set once the client is closed: nothing waits any longer."""
        # Two, as in kazoo, because the callback of a watch may wait for an answer.
        self.callback_queue, self.completion_queue = _Calls(), _Calls()

    def start(self) -> None:
        """Begin; the threads for callbacks start with the first callback."""
        self._running = True

    def stop(self) -> None:
        """Do nothing: another session may follow."""

    def end(self) -> None:
        """Make the queued callbacks and end their threads; wait for both only a moment."""
        self.over.set()
        queues = self.completion_queue, self.callback_queue
        for calls in queues:
            calls.end()
        deadline = time.monotonic() + _CALLBACK_TIMEOUT
        for calls in queues:
            calls.join(max(0.0, deadline - time.monotonic()))

    def dispatch_callback(self, callback: Callback) -> None:
        """Queue a callback of a watch, unless the watch is the registry's."""
        if callback.func is not ignore:
            super().dispatch_callback(callback)

    def sleep_func(self, seconds: float) -> None:
        """Sleep between two attempts of a caller, but not beyond the end of the client."""
        self.over.wait(seconds)

    def event_object(self) -> threading.Event:
        """Return an event whose wait() doesn't last beyond the end of the client."""
        return _Event(self.over)

    def spawn(self, func: Callable[..., None], *args: Any, **kwargs: Any) -> threading.Thread:
        """Run *func* in another thread."""
        return _spawn("peerage: zookeeper", func, *args, **kwargs)

    def select(
        self,
        readable: Sequence[socket],
        writable: Sequence[socket],
        _: Sequence[socket],
        timeout: float | None = None,
    ) -> tuple[list[socket], list[socket], list[socket]]:
        """Wait for sockets; until the session is established not longer than the dialer's patience.

        Unlike a selector it needs no descriptor for each call, and unlike select() it takes descriptors of
        any size.
        """
        if self.connecting and timeout is not None:
            timeout = min(timeout, self.dialer.patience)
        for sock in readable:
            # TLS reads whole records: what is left of one isn't in the socket any more.
            if isinstance(sock, ssl.SSLSocket) and sock.pending():
                return [sock], [], []
        polling = select.poll()
        for sock in readable:
            polling.register(sock, select.POLLIN)
        for sock in writable:
            polling.register(sock, select.POLLOUT)
        ready = {descriptor for descriptor, _ in polling.poll(None if timeout is None else timeout * 1000)}
        return (
            [each for each in readable if each.fileno() in ready],
            [each for each in writable if each.fileno() in ready],
            [],
        )

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, timeout: float = 10.0, **_: Any
    ) -> socket:
        """Connect, with a TLS handshake if there is a context."""
        if self.connecting:
            return self.dialer.dial(address, hostname, timeout)
        return self.dialer.dial_command(address, hostname, timeout)


class _Calls:
    """Calls for a thread, which starts with the first of them; after the end, put() makes them itself."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = False

    def put(self, call: Callable[[], object]) -> None:
        """Queue *call*."""
        with self._lock:
            if not self._over:
                if self._thread is None:
                    self._thread = _spawn("peerage: zookeeper callbacks", self._make_all)
                self._queue.put(call)
                return
        # The answer to a request that came too late: its caller waits for it.
        _make(call)

    def end(self) -> None:
        """Let the thread make the queued calls, and end."""
        with self._lock:
            self._over = True
        self._queue.put(None)

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, so many seconds at most."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _make_all(self) -> None:
        while (call := self._queue.get()) is not None:
            _make(call)
            del call


def _make(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        log.exception("A callback that was given to the client of ZooKeeper failed")


def _spawn(name: str, func: Callable[..., object], *args: Any, **kwargs: Any) -> threading.Thread:
    thread = threading.Thread(target=func, args=args, kwargs=kwargs, name=name, daemon=True)
    thread.start()
    return thread


class _Event(threading.Event):
    """An event whose wait() ends with the client; some of kazoo's recipes wait without a limit."""

    def __init__(self, over: threading.Event) -> None:
        super().__init__()
        self._over = over

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set.

        Raises:
            ConnectionClosedError: the client has ended.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not super().wait(min(_CHECK_INTERVAL, max(0.0, deadline - time.monotonic()))):
            if self._over.is_set():
                raise ConnectionClosedError("The client is closed")
            if time.monotonic() >= deadline:
                return False
        return True
