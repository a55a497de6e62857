"""What becomes of the session, in the three words that ZooKeeper's users know."""

from collections.abc import Callable
from typing import Final

from peerage.backends.zookeeper.connection import Connection

__all__ = ["CONNECTED", "LOST", "SUSPENDED", "SessionStates"]

CONNECTED: Final = "CONNECTED"
"""Connected, with the session as before or, at first and after LOST, a new one."""
SUSPENDED: Final = "SUSPENDED"
"""Not connected; the session may survive."""
LOST: Final = "LOST"
"""The session is over, and with it everything ephemeral."""


class SessionStates:
    """Follows a connection and tells its states.

    That a session is lost is known only when the next one begins, or when the registry is closed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session: int | None = None
        self._listeners: list[Callable[[str], None]] = []
        self.state = LOST
        """The current one; LOST before the first connection."""
        connection.on_change.append(self._look)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have *listener* called, on the event loop, with each state from now on."""
        self._listeners.append(listener)

    def end(self) -> None:
        """The registry is being closed."""
        self._connection.on_change.remove(self._look)
        self._enter(LOST)

    def _look(self) -> None:
        up = self._connection.up
        if up is None:
            if self.state == CONNECTED:
                self._enter(SUSPENDED)
            return
        if up.session != self._session:
            self._enter(LOST)
            self._session = up.session
        self._enter(CONNECTED)

    def _enter(self, state: str) -> None:
        if state != self.state:
            self.state = state
            for listener in self._listeners:
                listener(state)
