"""A container's ZooKeeper, with calls that are awaited."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peerage.asab.proactor import ProactorService
    from peerage.backends.zookeeper.session import KazooClient, ZnodeStat

__all__ = ["KazooWrapper"]

log = logging.getLogger("peerage.asab.zookeeper")


class KazooWrapper:
    """``container.ZooKeeper``: kazoo's client, called in threads. Paths are absolute.

    While ZooKeeper is out of reach, calls wait for it; with the session they were made in, they fail.

    Args:
        proactor: has the threads.
        client: returns the client, or raises an error that says why there is none.
    """

    def __init__(self, proactor: "ProactorService", client: "Callable[[], KazooClient]") -> None:
        self.ProactorService = proactor
        self._client = client

    @property
    def Client(self) -> "KazooClient":  # noqa: N802 - documented so
        """The kazoo client of the container's session. Its calls wait: not for the event loop's thread.

        Raises:
            ConfigurationError: the container has no ZooKeeper.
        """
        return self._client()

    # Reading

    async def exists(self, path: str) -> "ZnodeStat | None":
        """Return what is known of the node, None if there is none."""
        return await self._call(self.Client.exists, path)

    async def get(self, path: str) -> "tuple[bytes, ZnodeStat] | tuple[None, None]":
        """Return the node's data and what is known of it; twice None if there is none."""
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
        """Make the node, and those above it, unless they are there."""
        return await self._call(self.Client.ensure_path, path)

    async def create(
        self,
        path: str,
        value: bytes,
        sequence: bool = False,  # noqa: FBT001, FBT002 - documented so
        ephemeral: bool = False,  # noqa: FBT001, FBT002 - likewise
        makepath: bool = False,  # noqa: FBT001, FBT002 - likewise
    ) -> str:
        """Make a node and return its path.

        Args:
            path: of the node; with *sequence*, up to its digits.
            value: its data.
            sequence: append ten digits that no other node has.
            ephemeral: it goes with this session.
            makepath: make the nodes above it.

        Raises:
            kazoo.exceptions.NodeExistsError: it is there already.
            kazoo.exceptions.NoNodeError: the one above isn't.
        """
        created: str = await self._call(self.Client.create, path, value, None, ephemeral, sequence, makepath)
        return created

    async def set_data(self, path: str, data: bytes) -> "ZnodeStat | None":
        """Replace the node's data; None, and a warning, if there is no such node."""
        return await self._if_there(
            *(self.Client.set, path, data), complaint=f"{path} isn't written: there is no such node"
        )

    async def upsert(self, path: str, value: bytes) -> Any:
        """Replace the node's data, or make the node and those above it."""
        return await self._call(_upsert, self.Client, path, value)

    async def delete(self, path: str, version: int = -1, recursive: bool = False) -> Any:  # noqa: FBT001, FBT002 - documented so
        """Remove the node, if it is at *version* (-1: at any), *recursive*: with all below it.

        None, and a warning, if there is no such node.
        """
        return await self._if_there(
            *(self.Client.delete, path, version, recursive),
            complaint=f"{path} isn't deleted: there is no such node",
        )

    # Within

    async def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        return await self.ProactorService.execute(call, *args)

    async def _if_there(self, call: Callable[..., Any], *args: Any, complaint: str | None = None) -> Any:
        from peerage.backends.zookeeper.session import NoNodeError  # noqa: PLC0415 - an extra

        try:
            return await self._call(call, *args)
        except NoNodeError:
            if complaint is not None:
                log.warning("%s", complaint)
            return None


def _upsert(client: "KazooClient", path: str, value: bytes) -> Any:
    from peerage.backends.zookeeper.session import NodeExistsError, NoNodeError  # noqa: PLC0415 - an extra

    with suppress(NoNodeError):
        return client.set(path, value)
    with suppress(NodeExistsError):
        return client.create(path, value, makepath=True)
    # Somebody else was quicker.
    return client.set(path, value)
