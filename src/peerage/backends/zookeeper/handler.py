"""kazoo's way to threads and sockets, with threads for callbacks only if others use the client."""

import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler

from peerage.backends.zookeeper.callbacks import Callbacks
from peerage.backends.zookeeper.dialing import Dialer
from peerage.backends.zookeeper.polling import poll

__all__ = ["Handler"]


class Handler(SequentialThreadingHandler):  # type: ignore[misc] # kazoo has no types
    """Made for a client, whose sockets *dialer* opens."""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__()
        self.dialer = dialer
        self.greeting = False
        self.callbacks = Callbacks()
        self.callback_queue, self.completion_queue = self.callbacks.watches, self.callbacks.answers

    def start(self) -> None:
        """Begin; there is nothing to start until somebody asks for callbacks."""
        self._running = True

    def stop(self) -> None:
        """End; the connection's thread ends the callbacks."""
        self._running = False

    def spawn(self, func: Callable[..., None], *args: Any, **kwargs: Any) -> threading.Thread:
        """Run *func* in a thread of its own."""
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
        """Wait for sockets; for those of a greeting not longer than the dialer's patience."""
        if self.greeting and timeout is not None:
            timeout = min(timeout, self.dialer.patience)
        return *poll(readable, writable, timeout), []

    def create_connection(
        self, address: tuple[str, int], hostname: str | None = None, timeout: float = 10.0, **_: Any
    ) -> socket.socket:
        """Connect, and shake hands if it is TLS."""
        return self.dialer.dial(address, hostname, timeout)
