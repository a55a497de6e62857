"""What kazoo's thread tells the event loop, in the order in which it happened."""

from typing import Any, NamedTuple

from peerage.backends.zookeeper.failures import Failure

__all__ = ["Down", "Ended", "Happened", "Note", "Replied", "Trouble", "Up"]


class Up(NamedTuple):
    """Connected, greeted and authenticated."""

    epoch: int
    """Number of the connection."""
    session: int
    session_timeout: float
    """Seconds, as the server granted them."""
    server: str
    """``address:port``."""
    host: str
    """Its name, as in the registry's URL."""


class Down(NamedTuple):
    """The connection is lost; the session may survive."""

    reason: str


class Trouble(NamedTuple):
    """Connecting failed once more."""

    reason: str


class Happened(NamedTuple):
    """An event of a watch."""

    kind: int
    """1 created, 2 deleted, 3 changed, 4 other children."""
    path: str


class Replied(NamedTuple):
    """The answer to a request, or its failure."""

    ticket: Any
    value: Any
    failure: Failure | None


class Ended(NamedTuple):
    """The thread is done and won't say more: it was closed, or gave up."""

    reason: str
    error: Exception | None
    """What it didn't expect."""


Note = Up | Down | Trouble | Happened | Replied | Ended
