"""Draining at SIGTERM under a server that has no event loop."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from peerage.errors import PeerageError

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger(__name__)


class DrainAtSigterm:
    """Drains at SIGTERM, beside the server's work, and then passes the signal to the server.

    The handler returns at once, so the server goes on accepting and answering requests meanwhile. A further
    SIGTERM belongs to the first one, because gunicorn repeats it every second. SIGINT and SIGQUIT are for the
    server, which stops at once.

    Args:
        drain: begins to drain, and returns without waiting; it may interrupt any code of the main thread.
        stop: called when the server stops at once.
    """

    def __init__(self, drain: Callable[[], "Future[None]"], stop: Callable[[], object]) -> None:
        self._drain = drain
        self._stop = stop
        self._pid = os.getpid()
        self._begun = False
        self._drained = False
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Begin; in the main thread, when the server has installed its own handlers."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            before = signal.getsignal(number)
            if before is None:
                log.warning(
                    "The server stops without draining at %s, and calls may fail, because its handler of "
                    "this signal isn't a Python function: call discovery.drain() of the application before "
                    "you stop the server, or use gunicorn.",
                    number.name,
                )
                continue
            self._before[number] = before
            signal.signal(number, self._received)
        # As gunicorn does: a system call of code that isn't Python's goes on after the signal.
        signal.siginterrupt(signal.SIGTERM, False)  # noqa: FBT003 - it has no keywords

    def _received(self, number: int, frame: Any) -> None:
        if self._pid == os.getpid():
            if number != signal.SIGTERM:
                self._stop()
            elif not self._drained:
                self._begin(number, frame)
                return
        self._hand_on(number, frame)

    def _begin(self, number: int, frame: Any) -> None:
        if self._begun:
            return
        self._begun = True
        try:
            self._drain().add_done_callback(self._pass_on)
        except PeerageError:
            # The Discovery is closed.
            self._hand_on(number, frame)

    def _pass_on(self, draining: "Future[None]") -> None:
        if draining.cancelled():
            return  # the process ends for another reason
        if (error := draining.exception()) is not None:
            log.error("Draining failed, so the server stops without it", exc_info=error)
        self._drained = True
        # To the main thread, so that what it waits for is interrupted.
        ident = threading.main_thread().ident
        assert ident is not None  # noqa: S101 - it runs
        signal.pthread_kill(ident, signal.SIGTERM)

    def _hand_on(self, number: int, frame: Any) -> None:
        before = self._before[number]
        signal.signal(number, before)
        if callable(before):
            before(number, frame)
        else:
            signal.raise_signal(number)
