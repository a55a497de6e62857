"""What a caller says of a request that is a repetition, and what a server does with it.

If each of several layers of services repeats what failed below it, one failure at the bottom becomes many
requests. So a repetition says that it is one, and what a server calls for it isn't repeated.
"""

from contextvars import ContextVar
from typing import Final

#: The request header of a repetition; its value is 1.
REPEATED: Final = "Peerage-Repeated"


class Repetition:
    """A request that is a repetition, as the service sees it that processes it."""

    __slots__ = ("answered",)

    def __init__(self) -> None:
        self.answered = False
        """Whether it is over: what it has left behind may repeat its calls."""


#: The request that is being processed, if it is a repetition; set by the middleware of a server.
current_repetition: ContextVar[Repetition | None] = ContextVar("repetition", default=None)


def is_nested() -> bool:
    """Tell whether what runs now is done for a repetition."""
    repetition = current_repetition.get()
    return repetition is not None and not repetition.answered
