"""Logging outages: one line when one begins and one when it is over, however often the connection flickers.

A connection that is lost and restored many times in a minute is one outage for the reader of the log. So its
end is logged only after the registry was in touch for a while; if it is lost again before, the outage goes
on.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

#: Seconds in touch after which an outage is over.
CALM: Final = 5.0


class OutageLog:
    """Logs the outages of the registry *url*; one is over after *calm* seconds in touch.

    *url* has no credentials; *clock* returns monotonic seconds.
    """

    def __init__(self, url: str, clock: Callable[[], float], calm: float = CALM) -> None:
        self._url = url
        self._clock = clock
        self._calm = calm
        self._began: float | None = None
        self._ended = 0.0
        self._records = 0
        self._losses = 0
        self._timer: asyncio.TimerHandle | None = None

    def lost(self, reason: str, *, known: bool) -> None:
        """Note that the registry is out of reach; *known*: whether records of it are known."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._losses += 1
        if self._began is None:
            self._began = self._clock()
            log.warning(
                "Out of touch with the registry %s: %s. %s",
                self._url,
                reason.rstrip("."),
                "What is known stays in use." if known else "Nothing is known yet.",
            )

    def found(self, records: int) -> None:
        """Note that the registry is in touch again and has *records*; needs the running event loop."""
        if self._began is not None:
            self._ended, self._records = self._clock(), records
            self._timer = asyncio.get_running_loop().call_later(self._calm, self.flush)

    def flush(self) -> None:
        """Log now that the last outage is over, if it is."""
        if self._timer is None or self._began is None:
            return
        self._timer.cancel()
        log.warning(
            "In touch with the registry %s again after %.1f s%s; %d records",
            self._url,
            self._ended - self._began,
            f" and {self._losses} losses" if self._losses > 1 else "",
            self._records,
        )
        self._began = self._timer = None
        self._losses = 0
