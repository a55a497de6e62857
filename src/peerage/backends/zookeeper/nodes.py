"""The persistent nodes above records and secrets: created when missing, closed to others where asked for."""

import logging
from contextlib import suppress
from typing import Final

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import NoAuth, NodeExists, NoNode
from peerage.backends.zookeeper.requests import NO_AUTH, NO_NODE, Rehearse

__all__ = ["Nodes"]

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

    async def ensure(self, path: str) -> None:
        """Create the node and those above it, as far as they are missing.

        With ``acl=creator`` every node that is created gives all rights to its creator alone: the access list
        of the parent decides who may delete a node. If the option is written out, the registry's path and the
        nodes below it that are there already are closed as well. Nodes above the path belong to others, too,
        and stay as they are.
        """
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            step = "/" + "/".join(parts[:depth])
            try:
                if not await self._connection.exists(step):
                    with suppress(NodeExists):  # created by another process meanwhile
                        await self._connection.create(step, b"")
                        continue
                if self._location.acl == "creator":
                    await self._close_or_warn(step)
            except NoNode:
                # The node or its parent was removed meanwhile: the next attempt begins at the top.
                return

    async def _close_or_warn(self, path: str) -> None:
        if await self.is_open(path) and not await self.close(path) and path not in self.warned:
            self.warned.add(path)
            log.warning("%s", self.exposure(path))

    async def is_open(self, path: str) -> bool:
        """Return whether every client may change the node or what is below it.

        Raises:
            NoNode: there is none.
        """
        try:
            acl = await self._connection.acl_of(path)
        except NoAuth:
            return False  # closed, though not by this process
        return any(each.id.scheme == "world" and each.perms & _CHANGE for each in acl)

    async def close(self, path: str) -> bool:
        """Close the node to all others, if that is asked for and allowed; return whether it was."""
        if not self._location.explicit_acl or not self.is_ours(path):
            return False
        try:
            await self._connection.protect(path)
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
        error, *_ = await self._connection.post(Rehearse(parent))
        while error == NO_NODE and parent != "/":
            # The folder is created with the first record, in the node above.
            parent = parent.rpartition("/")[0] or "/"
            error, *_ = await self._connection.post(Rehearse(parent))
        if not error:
            return None
        if error == NO_AUTH:
            return self.denial(parent)
        return (
            f"{self._location.url} creates no node in {parent} (ZooKeeper's error {error}): "
            "look in the server's log for what is wrong with that node."
        )

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
