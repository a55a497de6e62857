"""What the advertisements in one folder have in common."""

import asyncio
import logging
from typing import TYPE_CHECKING

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import NoAuth, NoNode
from peerage.backends.zookeeper.nodes import Nodes
from peerage.backends.zookeeper.requests import Entry

if TYPE_CHECKING:
    from peerage.backends.zookeeper.advertisement import ZooKeeperAdvertisement

__all__ = ["AdvertisedFolder"]

log = logging.getLogger(__name__)


class AdvertisedFolder:
    """The folder *path*, in which records of this process are."""

    def __init__(self, connection: Connection, nodes: Nodes, path: str) -> None:
        self._connection = connection
        self._nodes = nodes
        self.path = path
        self.owners: dict[str, ZooKeeperAdvertisement] = {}
        """The advertisement that each node of this process belongs to, by the node's name."""
        self.checked = connection.location.acl != "creator"
        """Whether the access lists on the way to the records need no check any more."""
        self.denial = nodes.denial(path)
        """The message that the folder can't be written to."""

    async def prepare(self) -> None:
        """Create the folder, and check its access list."""
        await self._nodes.ensure(self.path)
        self.checked = True

    async def find_created(self, prefix: str, session: int, data: bytes) -> str | None:
        """Find the node of a create whose answer was lost, so that no second node is created.

        Args:
            prefix: the node's name, without its digits.
            session: the session that created it.
            data: what it holds; must be unique, or the node could be another record's.

        Returns:
            Its name, None if there is none to be seen.

        Raises:
            Failure: whether there is one isn't known yet.
        """
        # Answered by the leader: a create that was still under way at another server is now done, or never
        # will be.
        await self._connection.sync(self.path)
        try:
            nodes = [node for node in await self._connection.children(self.path) if node.startswith(prefix)]
        except NoNode:
            return None
        except NoAuth:
            log.warning(
                "%s may not be listed, so whether the record %s is registered twice can't be seen: let this "
                "process read that node, or one of the two records stays until its session ends",
                self.path,
                prefix.removesuffix("."),
            )
            return None
        entries = await asyncio.gather(*(self._read(node) for node in nodes))
        for node, entry in zip(nodes, entries, strict=True):
            if entry is not None and (entry.owner, entry.data) == (session, data) and node not in self.owners:
                return node
        return None

    async def _read(self, node: str) -> Entry | None:
        try:
            return await self._connection.read(f"{self.path}/{node}")
        except (NoNode, NoAuth):
            return None  # removed meanwhile, or not ours
