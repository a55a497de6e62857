"""How a caller marks a retry, and how a server passes that on to the calls that it makes itself.

If each layer of services retried the failures of the layer below, one failure at the bottom would become many
requests. So a retry carries a header, and calls that a server makes while it handles one are not retried.
Retries at every layer are among the causes of metastable failures that Huang et al. found at eleven
organisations ("Metastable Failures in the Wild", OSDI 2022).
"""

from contextvars import ContextVar
from typing import Final

#: The request header that marks a retry or a backup; its value is 1.
RETRY: Final = "Peerage-Retry"


class RetriedRequest:
    """A request that its caller marked as a retry, as the server sees it."""

    __slots__ = ("answered",)

    def __init__(self) -> None:
        self.answered = False
        """Whether its handler has returned: tasks that outlive it may retry their calls."""


#: The retry that is being handled, if the current request is one; set by the middleware of a server.
current_retried: ContextVar[RetriedRequest | None] = ContextVar("retried", default=None)


def is_nested() -> bool:
    """Tell whether the current task works for a request that is a retry."""
    retried = current_retried.get()
    return retried is not None and not retried.answered
