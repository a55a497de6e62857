"""The calls of kazoo's client as coroutines."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peerage.asab.proactor import ProactorService
    from peerage.backends.zookeeper.session import KazooClient, ZnodeStat

log = logging.getLogger("peerage.asab.zookeeper")


class KazooWrapper:
    """``container.ZooKeeper``: kazoo's client, called in threads. Paths are absolute.

    While ZooKeeper is out of reach, calls wait for it. They fail when their session ends.

    Args:
        proactor: runs the calls in its threads.
        client: returns the client, or raises an error with the reason why there is none.
    """

    def __init__(self, proactor: "ProactorService", client: "Callable[[], KazooClient]") -> None:
        self.ProactorService = proactor
        self._client = client

    @property
    def Client(self) -> "KazooClient":  # noqa: N802 - documented so
        """The kazoo client of the container's session. Its calls block: call them in other threads.

        Raises:
            ConfigurationError: the container has no ZooKeeper.
        """
        return self._client()

    # Reading

    async def exists(self, path: str) -> "ZnodeStat | None":
        """Return the metadata of the node, None if there is no such node."""
        return await self._call(self.Client.exists, path)

    async def get(self, path: str) -> "tuple[bytes, ZnodeStat] | tuple[None, None]":
        """Return the node's data and metadata; twice None if there is no such node."""
        found: tuple[bytes, ZnodeStat] | None = await self._if_there(self.Client.get, path)
        return (None, None) if found is None else found

    async def get_children(self, path: str) -> list[str] | None:
        """Return the names of the node's children, None if there is no such node."""
        names: list[str] | None = await self._if_there(self.Client.get_children, path)
        return names

    async def get_data(self, path: str) -> bytes | None:
        """Return the node's data, None if there is no such node."""
        return (await self.get(path))[0]

    # Writing

    async def ensure_path(self, path: str) -> Any:
        """Make the node and its missing parents, unless the node exists."""
        return await self._call(self.Client.ensure_path, path)

    async def create(
        self,
        path: str,
        value: bytes,
        sequence: bool = False,  # noqa: FBT001, FBT002 - documented so
        ephemeral: bool = False,  # noqa: FBT001, FBT002 - documented so
        makepath: bool = False,  # noqa: FBT001, FBT002 - documented so
    ) -> str:
        """Make a node and return its path.

        Args:
            path: the path of the node; with *sequence*, without the digits.
            value: the data.
            sequence: append ten digits that make the name unique.
            ephemeral: the node is deleted with this session.
            makepath: make its missing parents.

        Raises:
            kazoo.exceptions.NodeExistsError: the node exists.
            kazoo.exceptions.NoNodeError: its parent doesn't exist.
        """
        created: str = await self._call(self.Client.create, path, value, None, ephemeral, sequence, makepath)
        return created

    async def set_data(self, path: str, data: bytes) -> "ZnodeStat | None":
        """Replace the node's data; None, and a warning, if there is no such node."""
        return await self._if_there(
            *(self.Client.set, path, data), problem=f"{path} isn't written: there is no such node"
        )

    async def upsert(self, path: str, value: bytes) -> Any:
        """Replace the node's data, or make the node and its missing parents."""
        return await self._call(_upsert, self.Client, path, value)

    async def delete(self, path: str, version: int = -1, recursive: bool = False) -> Any:  # noqa: FBT001, FBT002 - documented so
        """Delete the node if it has *version* (-1: any); with *recursive*, its children as well.

        None, and a warning, if there is no such node.
        """
        return await self._if_there(
            *(self.Client.delete, path, version, recursive),
            problem=f"{path} isn't deleted: there is no such node",
        )

    # Internal

    async def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        return await self.ProactorService.execute(call, *args)

    async def _if_there(self, call: Callable[..., Any], *args: Any, problem: str | None = None) -> Any:
        from peerage.backends.zookeeper.session import NoNodeError  # noqa: PLC0415 - an extra

        try:
            return await self._call(call, *args)
        except NoNodeError:
            if problem is not None:
                log.warning("%s", problem)
            return None


def _upsert(client: "KazooClient", path: str, value: bytes) -> Any:
    from peerage.backends.zookeeper.session import NodeExistsError, NoNodeError  # noqa: PLC0415 - an extra

    with suppress(NoNodeError):
        return client.set(path, value)
    with suppress(NodeExistsError):
        return client.create(path, value, makepath=True)
    # Another process has made it meanwhile.
    return client.set(path, value)
