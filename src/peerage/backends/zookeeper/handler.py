"""kazoo's interface to threads and sockets, with threads for callbacks only if others use the client."""

import math
import select
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from socket import socket
from typing import Any, Final

from kazoo.exceptions import ConnectionClosedError
from kazoo.handlers.threading import SequentialThreadingHandler

from peerage.backends.zookeeper.callbacks import Callbacks
from peerage.backends.zookeeper.dialing import Dialer

__all__ = ["Handler"]

#: Seconds between two checks of whether the event can still be set.
_CHECK_INTERVAL: Final = 0.2


class Handler(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """The handler of one client, whose sockets *dialer* opens."""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__()
        self.dialer = dialer
        self.connecting = False
        self.callbacks = Callbacks()
        self.callback_queue, self.completion_queue = self.callbacks.watches, self.callbacks.answers

    def start(self) -> None:
        """Begin; the threads for callbacks start when the client is shared."""
        self._running = True

    def stop(self) -> None:
        """End; the thread of the connection ends the callbacks."""
        self._running = False

    def sleep_func(self, seconds: float) -> None:
        """Sleep between two attempts of a caller, but not beyond the end of the client."""
        self.callbacks.over.wait(seconds)

    def event_object(self) -> threading.Event:
        """Return an event whose wait() doesn't last beyond the end of the client."""
        return _Event(self.callbacks.over)

    def spawn(self, func: Callable[..., None], *args: Any, **kwargs: Any) -> threading.Thread:
        """Run *func* in another thread."""
        thread = threading.Thread(
            target=func, args=args, kwargs=kwargs, name="peerage: zookeeper", daemon=True
        )
        thread.start()
        return thread

    def select(
        self,
        readable: Sequence[Any],
        writable: Sequence[Any],
        _: Sequence[Any],
        timeout: float | None = None,
    ) -> Any:
        """Wait for sockets; until the session is established not longer than the dialer's patience."""
        if self.connecting and timeout is not None:
            timeout = min(timeout, self.dialer.patience)
        return *_poll(readable, writable, timeout), []

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, timeout: float = 10.0, **_: Any
    ) -> socket:
        """Connect, with a TLS handshake if there is a context."""
        if self.connecting:
            return self.dialer.dial(address, hostname, timeout)
        return self.dialer.dial_command(address, hostname, timeout)


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


def _poll(
    readable: Sequence[socket], writable: Sequence[socket], timeout: float | None
) -> tuple[list[socket], list[socket]]:
    """Return which of them are ready, nothing after *timeout* seconds.

    Unlike a selector it needs no descriptor for each call, and unlike select() it takes descriptors of any
    size.
    """
    for sock in readable:
        # TLS reads whole records: what is left of one isn't in the socket any more.
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return [sock], []
    polling = select.poll()
    for sock in readable:
        polling.register(sock, select.POLLIN)
    for sock in writable:
        polling.register(sock, select.POLLOUT)
    ready = {descriptor for descriptor, _ in polling.poll(None if timeout is None else timeout * 1000)}
    return [sock for sock in readable if sock.fileno() in ready], [
        sock for sock in writable if sock.fileno() in ready
    ]
