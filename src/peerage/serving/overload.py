"""Refusing requests for which there is no capacity, so that the others are served."""

import logging
from typing import Final

from peerage.calling.answers import OVERLOADED
from peerage.serving.gradient import Gradient2
from peerage.serving.refusal import Refusal

log = logging.getLogger(__name__)

_TEXT: Final = "Too many requests are under way here. This one was not processed: ask another instance.\n"

#: Seconds for which callers should avoid this instance; the header has whole seconds only.
_RETRY_AFTER: Final = "1"

#: Seconds after which a refusal is logged again.
_LOGGED_EVERY: Final = 60.0


class Overload:
    """Refuses requests while too many are under way.

    Args:
        limit: how many may be.
    """

    def __init__(self, limit: Gradient2) -> None:
        self._limit = limit
        self._log_from = 0.0

    def refuse(self, now: float, dialled: str | None) -> Refusal | None:
        """Return the refusal of a request; if it is None, :meth:`Gradient2.done` must follow.

        Args:
            now: seconds of a clock that never goes back.
            dialled: what its caller says it dialled, in ``Peerage-Dialled``.
        """
        if self._limit.admit():
            return None
        if now >= self._log_from:
            self._log_from = now + _LOGGED_EVERY
            log.warning(
                "Requests are refused with 503: the limit of %d requests under way is reached",
                self._limit.limit,
            )
        return Refusal(503, {OVERLOADED: dialled or "1", "Retry-After": _RETRY_AFTER}, _TEXT)
