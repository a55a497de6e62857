"""Refusals are counted each and told together: a flood of bad tokens is a few lines in the log."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from peerage.errors import PeerageError

__all__ = ["Refusals"]

log = logging.getLogger(__name__)

#: Seconds between two lines about the same reason.
_QUIET: Final = 60.0


class Refusals:
    """Counts refusals by reason, and logs the first of each and then one a minute.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        """How often each reason occurred."""
        self._clock = clock
        self._told: dict[str, tuple[float, int]] = {}

    def note(self, reason: str, error: PeerageError) -> None:
        """Count one; never more of it is told than the error's own message."""
        self.counts[reason] += 1
        now, count = self._clock(), self.counts[reason]
        last, told = self._told.get(reason, (None, 0))
        if last is not None and now < last + _QUIET:
            return
        self._told[reason] = (now, count)
        more = count - told - 1
        log.warning(
            "A request was refused (%s): %s%s",
            reason,
            error,
            f" So were {more} others since the last line about it." if more else "",
        )
