"""The persistent nodes above records and secrets: created when missing, closed to others where asked for."""

import asyncio
import logging
from collections.abc import Container
from contextlib import suppress
from itertools import accumulate
from typing import Final

from kazoo.protocol.serialization import GetACL, SetACL

from peerage.backends.zookeeper.connection import ANY_VERSION, Connection
from peerage.backends.zookeeper.failures import NoAuth, NodeExists, NoNode
from peerage.backends.zookeeper.requests import NO_AUTH, NO_NODE, rehearsal

log = logging.getLogger(__name__)

#: The rights to create, write, delete and administer: none of them may be given to the world.
_CHANGE: Final = 0b11110


class Nodes:
    """The persistent nodes at the location of *connection*."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._location = connection.location
        self.warned: set[str] = set()
        """Paths about whose access lists a warning was logged: there is one for each."""
        self._prepared: set[str] = set()

    async def ensure(self, path: str) -> None:
        """Create the node and those above it, as far as they are missing.

        With ``acl=creator`` every node that is created gives all rights to its creator alone: the access list
        of the parent decides who may delete a node. If the option is written out, the registry's path and the
        nodes below it that are there already are closed as well. Nodes above the path belong to others, too,
        and stay as they are.
        """
        for step in accumulate(f"/{part}" for part in path.strip("/").split("/")):
            try:
                if not await self._connection.status(step):
                    with suppress(NodeExists):  # created by another process meanwhile
                        await self._connection.create(step, b"")
                        continue
                if self._location.acl == "creator":
                    await self._close_or_warn(step)
            except NoNode:
                # The node or its parent was removed meanwhile: the next attempt begins at the top.
                return

    def is_prepared(self, folder: str) -> bool:
        """Return whether the access lists on the way to the nodes in the folder need no check any more."""
        return self._location.acl != "creator" or folder in self._prepared

    async def prepare(self, folder: str) -> None:
        """Create a folder of records, and check its access list."""
        await self.ensure(folder)
        self._prepared.add(folder)

    async def _close_or_warn(self, path: str) -> None:
        if await self.is_open(path) and not await self.close(path) and path not in self.warned:
            self.warned.add(path)
            log.warning("%s", self.exposure(path))

    async def is_open(self, path: str) -> bool:
        """Return whether every client may change the node or what is below it; NoNode if there is none."""
        try:
            acl, _ = await self._connection.post(GetACL(path))
        except NoAuth:
            return False  # closed, though not by this process
        return any(each.id.scheme == "world" and each.perms & _CHANGE for each in acl)

    async def close(self, path: str) -> bool:
        """Close the node to all others, if that is asked for and allowed; return whether it was."""
        if not self._location.explicit_acl or not self.is_ours(path):
            return False
        try:
            await self._connection.post(SetACL(path, self._connection.acl, ANY_VERSION))
        except NoAuth:
            return False
        return True

    def is_ours(self, path: str) -> bool:
        """Return whether the node is the registry's path or below it: others use those above as well."""
        # The root belongs to all, also for a registry that is right below it.
        return path != "/" and f"{path}/".startswith(f"{self._location.path}/")

    async def find_obstacle(self) -> str | None:
        """Return what keeps this process from advertising and what to do about it, None if nothing does.

        The server is asked whether a record can be created, without creating one. The access lists don't say
        enough: a server may have administrators, may be configured to ignore its lists, and hides the
        passwords in a list from clients that may not change it.

        Raises:
            Failure: the server didn't answer the question.
        """
        parent = self._location.folder
        refusal, *_ = await self._connection.post(rehearsal(parent))
        while refusal.code == NO_NODE and parent != "/":
            # The folder is created with the first record, in the node above.
            parent = parent.rpartition("/")[0] or "/"
            refusal, *_ = await self._connection.post(rehearsal(parent))
        if not refusal.code:
            return None
        if refusal.code == NO_AUTH:
            return self.denial(parent)
        return (
            f"{self._location.url} creates no node in {parent} (ZooKeeper's error {refusal.code}): "
            "look in the server's log for what is wrong with that node."
        )

    async def find_created(self, prefix: str, session: int, data: bytes, but: Container[str]) -> str | None:
        """Find the node of a create whose answer was lost, so that no second node is created.

        Args:
            prefix: the node's path, without its digits.
            session: the session that created it.
            data: what it holds; must be unique, or the node could be another record's.
            but: the paths of nodes that it can't be.

        Returns:
            Its path, None if there is none to be seen.

        Raises:
            Failure: whether there is one isn't known yet.
        """
        folder = prefix.rpartition("/")[0]
        # Answered by the leader: a create that was still under way at another server is now done, or never
        # will be.
        await self._connection.sync(folder)
        try:
            paths = [f"{folder}/{name}" for name in await self._connection.children(folder)]
        except NoNode:
            return None
        except NoAuth:
            log.warning(
                "%s may not be listed, so whether the record %s is registered twice can't be seen: let this "
                "process read that node, or one of the two records stays until its session ends",
                folder,
                prefix.rpartition("/")[2].removesuffix("."),
            )
            return None
        paths = [path for path in paths if path.startswith(prefix)]
        found = await asyncio.gather(*map(self._read, paths))
        return next(
            (
                path
                for path, node in zip(paths, found, strict=True)
                if node == (data, session) and path not in but
            ),
            None,
        )

    async def _read(self, path: str) -> tuple[bytes, int] | None:
        with suppress(NoNode, NoAuth):  # removed meanwhile, or not ours
            data, status = await self._connection.read(path)
            return data, status.ephemeralOwner
        return None

    # Messages

    def denial(self, path: str) -> str:
        """Return the message that *path* can't be written to, and what to do about it."""
        return (
            f"{self._location.url} doesn't let this process write to {path}: "
            "check its credentials and that node's access list."
        )

    def exposure(self, path: str) -> str:
        """Return the message that every client may change what is in *path*, and what to do about it."""
        if not self.is_ours(path):
            advice = ": set its access list."
        elif not self._location.explicit_acl:
            advice = ": set its access list, or write acl=creator in the registry's URL to have that done."
        elif path in self.warned:
            advice = (
                ", and this process may not close it, as acl=creator asks for: "
                "let an administrator of that node set its access list."
            )
        else:
            advice = ": it will be closed with the first record that is advertised here."
        return f"Every client may change or remove what is in {path} of {self._location.url}{advice}"
