"""How long a caller waits: the time that is left, and the header that tells the next service; pure.

A deadline is kept as a time of this process's monotonic clock. What is sent is the time that is left, in
whole milliseconds and rounded down. So the clocks of two hosts are never compared, and each service gives up
a little before its caller. gRPC does the same with ``grpc-timeout``. The header has a new name, because each
of the known ones means something else:

- ``grpc-timeout`` has a unit behind its number, and belongs to gRPC, whose servers and proxies act on it;
- ``x-envoy-expected-rq-timeout-ms`` is set by each Envoy on the way to its own limit, 15 seconds by default,
  so requests without a deadline would be cancelled as well;
- ``Request-Timeout`` (draft-thomson-hybi-http-timeout, expired in 2011) counts whole seconds.

The value is that of ``Connect-Timeout-Ms`` of the Connect protocol: ten decimal digits at most.
"""

import math
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Final

from peerage.errors import ConfigurationError

#: The request header with the milliseconds that the caller still waits.
TIMEOUT_MS: Final = "Peerage-Timeout-Ms"

#: Digits of its value at most; ten are 115 days.
_DIGITS: Final = 10

_MOST_MS: Final = 10**_DIGITS - 1

#: Seconds that must be left for an attempt to begin: the least that the header can say.
LEAST: Final = 0.001


class Deadline:
    """A time at which the caller stops waiting.

    Args:
        seconds: how long the caller waits.
        now: the monotonic time from which it waits, in seconds.
        outer: the deadline around this one, which limits it.
    """

    __slots__ = ("_waited_for", "ends", "given_up", "outer", "seconds")

    def __init__(self, seconds: float, now: float, outer: "Deadline | None" = None) -> None:
        self.seconds = seconds
        self.ends = now + seconds
        """The monotonic time at which it passes, unless the outer one passes before."""
        self.outer = outer
        self.given_up = False
        """Whether something was given up because this very deadline has passed."""
        self._waited_for = ""

    @property
    def smallest(self) -> "Deadline":
        """The deadline that passes first: this one, or one around it."""
        smallest, outer = self, self.outer
        while outer is not None:
            if outer.ends <= smallest.ends:
                smallest = outer
            outer = outer.outer
        return smallest

    def left(self, now: float) -> float:
        """Return the seconds until it passes."""
        return self.smallest.ends - now

    def leaves_time(self, now: float, seconds: float = 0.0) -> bool:
        """Tell whether an attempt can begin after a wait of *seconds*."""
        return self.left(now) >= seconds + LEAST

    def release(self) -> None:
        """End its effect: the request is answered, and nothing waits for tasks that it left behind."""
        self.ends = math.inf

    def note(self, waited_for: str) -> None:
        """Remember what the caller was waiting for when it passed, for the message of the error."""
        self._waited_for = waited_for
        if self.outer is not None and self.outer.smallest is self.smallest:
            self.outer.note(waited_for)

    def give_up(self, waited_for: str = "") -> str:
        """Note that something is given up because it has passed; return the message of the error."""
        waited_for = waited_for or self._waited_for
        smallest = self.smallest
        smallest.given_up = True
        passed = f"The deadline of {smallest.seconds:g} s has passed"
        return f"{passed}: {waited_for}" if waited_for else passed


#: The deadline of the current task; tasks that it starts inherit it.
current_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def begin(seconds: float | None, now: float) -> Deadline | None:
    """Return a deadline in *seconds*, within the current one; for None or infinity, the current one itself.

    Raises:
        ConfigurationError: *seconds* isn't a number.
    """
    outer = current_deadline.get()
    if seconds is None or seconds == math.inf:
        return outer
    if math.isnan(seconds):
        raise ConfigurationError("A deadline must be a number of seconds, and nan isn't one.")
    return Deadline(seconds, now, outer)


def write_timeout(left: float) -> str:
    """Return the value of the header for *left* seconds, rounded down."""
    milliseconds = int(max(0.0, min(left * 1000, _MOST_MS)))
    # The product may have been rounded up.
    return str(milliseconds - 1 if milliseconds / 1000 > left > 0 else milliseconds)


def read_timeout(values: Iterable[str]) -> float | None:
    """Return the seconds that the header allows: the least of its valid values, None if there is none."""
    found = [
        int(value) for value in values if len(value) <= _DIGITS and value.isascii() and value.isdecimal()
    ]
    return min(found) / 1000 if found else None
