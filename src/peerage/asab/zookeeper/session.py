"""The session of a ZooKeeper registry, for what an application does with it beside discovery.

The registry keeps one session with the servers. A container of ASAB gives it to the application: kazoo's own
client, the states of the session, and nodes that are kept like records.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final

from peerage.asab.proactor import ProactorService
from peerage.asab.zookeeper.servers import Choice
from peerage.asab.zookeeper.wrapper import KazooWrapper
from peerage.backends.zookeeper.failures import Failure
from peerage.backends.zookeeper.location import flaw
from peerage.errors import RegistryDeniedError
from peerage.registry import Advertisement, check_size

if TYPE_CHECKING:
    from peerage.backends.zookeeper import ZooKeeperRegistry
    from peerage.backends.zookeeper.session import KazooClient

#: Characters of a path and bytes of a node, at most: a server closes a connection that sends over a megabyte.
_LONGEST_PATH: Final = 1000
_LARGEST_NODE: Final = 1_000_000


class ZooKeeperNodes:
    """The session of *registry*, which it doesn't close, and the nodes of a container, below its path."""

    def __init__(self, registry: "ZooKeeperRegistry", choice: Choice, proactor: ProactorService) -> None:
        self.registry = registry
        self.zookeeper = KazooWrapper(proactor, lambda: self.client)
        self._client = registry.connection.client
        # For calls of the program; the registry itself uses whole paths.
        self._client.chroot = self._chroot = choice.chroot
        self._path = f"/{choice.path}" if choice.path else ""
        self._session: int | None = None
        self._state = "LOST"
        self._changes: asyncio.Queue[str] = asyncio.Queue()
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
        self.registry.check_open()
        with suppress(RuntimeError):  # no event loop runs
            asyncio.get_running_loop()
            self.registry.use()
        return self._client

    # States

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._state == "CONNECTED"

    async def states(self) -> AsyncGenerator[str]:
        """Connect, and yield each state; only the first LOST is left out.

        ``CONNECTED``: with the session as before or, at first and after LOST, a new one. ``SUSPENDED``: not
        connected; the session may survive. ``LOST``: the session is over, and with it everything ephemeral;
        this is known once the next session begins, and is the state before the first connection.
        """
        self.registry.use()
        while True:
            state = await self._changes.get()
            if state == "CONNECTED" and (path := self.registry.location.path):
                # As in the original, so that a program can list the path, and make nodes there.
                with suppress(Failure):  # it can't be made now or ever
                    await self.registry.nodes.ensure(path)
            yield state

    def _update_state(self) -> None:
        up = self.registry.connection.up
        if up is None:
            if self.connected:
                self._enter("SUSPENDED")
            return
        if up.session != self._session:
            self._enter("LOST")
            self._session = up.session
        self._enter("CONNECTED")

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._changes.put_nowait(state)

    # Nodes

    def advertise(self, path: str, data: bytes) -> Advertisement:
        """Keep *data* at a node; if *path* ends with a slash or is empty, its name is only digits.

        Raises:
            RegistryDeniedError: *path* is impossible, or the data has over 1,000,000 bytes, in the folder of
                the records over the limit of a record.
            RegistryClosedError: after the registry's aclose(), or in a forked child.
        """
        path = f"{self._chroot}{self._path}/{path}"
        _check_path(path)
        is_record = path.rpartition("/")[0] == self.registry.location.folder
        return self.registry.keep_node(path, data, check_size if is_record else _check_node_size)

    async def children(self, path: str) -> list[str] | None:
        """Return the names of the node's children, None if there is no such node."""
        return await self.zookeeper.get_children(self._below(path))

    async def data(self, path: str) -> bytes | None:
        """Return the node's data, None if there is no such node."""
        return await self.zookeeper.get_data(self._below(path))

    def _below(self, path: str) -> str:
        return f"{self._path}/{path}" if path else self._path or "/"


def _check_path(path: str) -> None:
    # The digits are part of the last component.
    components = f"{path}0".split("/")[1:]
    reason = next(filter(None, map(flaw, components, count(1))), None)
    if reason or len(path) > _LONGEST_PATH:
        raise RegistryDeniedError(
            f"{path[:_LONGEST_PATH]!a} can't be the path of a node: it, or a component of it, "
            f"{reason or 'is too long'}. Write an absolute path such as /asab/run/name. "
            f"of at most {_LONGEST_PATH} characters."
        )


def _check_node_size(data: bytes) -> None:
    if len(data) > _LARGEST_NODE:
        raise RegistryDeniedError(
            f"The node has {len(data)} bytes, ZooKeeper keeps at most {_LARGEST_NODE}: write less into it."
        )
