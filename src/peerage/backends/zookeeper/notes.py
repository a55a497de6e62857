"""What kazoo's thread reports to the event loop, in the order in which it happened."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from peerage.backends.zookeeper.failures import Failure, failure_of


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


@dataclass(eq=False, slots=True)
class Request:
    """A request of the registry, which is a note once it is answered. kazoo calls its methods."""

    body: Any
    """What is sent."""
    connection: int
    """Number of the connection that it is meant for."""
    report: Callable[["Request"], None]
    future: asyncio.Future[Any]
    value: Any = None
    """The answer, None if there is a failure."""
    failure: Failure | None = None

    def set(self, value: Any = None) -> None:
        """Take the answer."""
        self.value, self.failure = value, None
        self.report(self)

    def set_exception(self, error: BaseException) -> None:
        """Take the failure."""
        self.value, self.failure = None, failure_of(error)
        self.report(self)


class SessionEnded(NamedTuple):
    """The session is certainly over: the client is being closed, or a server refused it; then one follows."""

    reason: str
    error: Exception | None
    """The error that ended it, if it was an unexpected one."""


class Closed(NamedTuple):
    """The thread is done and reports nothing more."""


Note = Connected | Disconnected | ConnectFailed | NodeEvent | Request | SessionEnded | Closed
