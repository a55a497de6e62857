"""The session of a ZooKeeper registry, for what an application does with it beside discovery.

The registry keeps one session with the servers. A container of ASAB gives it to the application: kazoo's own
client, the states of the session, and nodes that are kept like records.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from peerage.backends.zookeeper.failures import Failure
from peerage.backends.zookeeper.paths import flaw
from peerage.errors import RegistryDeniedError
from peerage.registry import Advertisement, check_size

if TYPE_CHECKING:
    from peerage.backends.zookeeper import ZooKeeperRegistry
    from peerage.backends.zookeeper.session import KazooClient

__all__ = ["CONNECTED", "LOST", "SUSPENDED", "ZooKeeperSession"]

CONNECTED: Final = "CONNECTED"
"""Connected, with the session as before or, at first and after LOST, a new one."""
SUSPENDED: Final = "SUSPENDED"
"""Not connected; the session may survive."""
LOST: Final = "LOST"
"""The session is over, and with it everything ephemeral. This is known once the next session begins."""

#: Characters of a path and bytes of a node, at most: a server closes a connection that sends over a megabyte.
_LONGEST_PATH: Final = 1000
_LARGEST_NODE: Final = 1_000_000


class ZooKeeperSession:
    """The session of *registry*, which it doesn't close."""

    def __init__(self, registry: "ZooKeeperRegistry") -> None:
        self._registry = registry
        self._session: int | None = None
        self._listeners: list[Callable[[str], None]] = []
        self.state = LOST
        """The current state; LOST before the first connection."""
        registry.connection.on_change.append(self._update_state)

    @property
    def client(self) -> "KazooClient":
        """The client of kazoo that the session is made of.

        Its methods block: call them from a thread. The client is closed with the registry. Its stop() ends
        the session, and the next session begins.

        Asked for where no event loop runs, it doesn't connect yet, and its calls fail until it does.

        Raises:
            RegistryClosedError: after the registry's aclose(), or in a forked child.
        """
        self._registry.check_open()
        with suppress(RuntimeError):  # no event loop runs
            asyncio.get_running_loop()
            self._registry.use()
        return self._registry.connection.client

    def connect(self) -> None:
        """Begin to connect now, not with the first call that needs it; needs the running event loop.

        Raises:
            RegistryClosedError: after the registry's aclose(), or in a forked child.
        """
        self._registry.use()

    async def ensure_path(self) -> None:
        """Make the registry's path, unless it is there, or can't be made now or ever."""
        self._registry.use()
        if path := self._registry.location.path:
            with suppress(Failure):
                await self._registry.nodes.ensure(path)

    def advertise_at(self, path: str, data: bytes) -> Advertisement:
        """Begin to keep *data* at a node ``<path><10 digits>``, as if it were a record.

        Args:
            path: absolute; need not be in the folder of the records.
            data: at most 1,000,000 bytes, in the folder of the records as much as a record.

        Raises:
            RegistryDeniedError: *path* or the size of *data* is impossible.
            RegistryClosedError: after the registry's aclose(), or in a forked child.
        """
        _check_path(path)
        is_record = path.rpartition("/")[0] == self._registry.location.folder
        return self._registry.keep_node(path, data, check_size if is_record else _check_node_size)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call *listener* on the event loop with each state from now on."""
        self._listeners.append(listener)

    def _update_state(self) -> None:
        up = self._registry.connection.up
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


def _check_path(path: str) -> None:
    # The digits are part of the last component.
    first, *components = f"{path}0".split("/")
    problems = [flaw(component, number) for number, component in enumerate(components, 1)]
    if first or not components or len(path) > _LONGEST_PATH or any(problems):
        reason = next((problem for problem in problems if problem), "isn't absolute or is too long")
        raise RegistryDeniedError(
            f"{path[:_LONGEST_PATH]!a} can't be the path of a node: it, or a component of it, {reason}. "
            f"Write an absolute path such as /asab/run/name. of at most {_LONGEST_PATH} characters."
        )


def _check_node_size(data: bytes) -> None:
    if len(data) > _LARGEST_NODE:
        raise RegistryDeniedError(
            f"The node has {len(data)} bytes, ZooKeeper keeps at most {_LARGEST_NODE}: write less into it."
        )
