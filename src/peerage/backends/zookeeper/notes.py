"""What kazoo's thread reports to the event loop, in the order in which it happened."""

from typing import Any, NamedTuple

from peerage.backends.zookeeper.failures import Failure

__all__ = [
    "Closed",
    "ConnectFailed",
    "Connected",
    "Disconnected",
    "NodeEvent",
    "Note",
    "Replied",
    "SessionEnded",
]


class Connected(NamedTuple):
    """A connection can be used: the session is established and authenticated."""

    number: int
    """Number of the connection, counted by the client."""
    session: int
    session_timeout: float
    """Seconds, as the server granted them."""
    server: str
    """``address:port``."""
    host: str
    """Its name, as in the registry's URL."""


class Disconnected(NamedTuple):
    """The connection is lost; the session may survive."""

    reason: str


class ConnectFailed(NamedTuple):
    """An attempt to connect failed."""

    reason: str


class NodeEvent(NamedTuple):
    """An event of a watch."""

    kind: int
    """1 created, 2 deleted, 3 changed, 4 children changed."""
    path: str


class Replied(NamedTuple):
    """The answer to a request, or its failure."""

    ticket: Any
    value: Any
    failure: Failure | None


class SessionEnded(NamedTuple):
    """The session is certainly over: the client is being closed, or a server refused it; then one follows."""

    reason: str
    error: Exception | None
    """The error that ended it, if it was an unexpected one."""


class Closed(NamedTuple):
    """The thread is done and reports nothing more."""


Note = Connected | Disconnected | ConnectFailed | NodeEvent | Replied | SessionEnded | Closed
