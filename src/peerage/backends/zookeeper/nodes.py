"""The persistent nodes on the way to a record or a secret: made when missing, closed where asked for."""

import logging
from typing import Final

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import NoAuth, NodeExists, NoNode
from peerage.backends.zookeeper.location import Location

__all__ = ["ensure", "open_to_all"]

log = logging.getLogger(__name__)

#: Create, write, delete or administer: any of them in strangers' hands is too much.
_CHANGE: Final = 0b11110


async def open_to_all(connection: Connection, path: str) -> bool:
    """Say whether anybody may change a node or what is below it.

    Raises:
        NoNode: there is none.
    """
    return any(acl.id.scheme == "world" and acl.perms & _CHANGE for acl in await connection.acl_of(path))


async def ensure(connection: Connection, location: Location, path: str, told: set[str]) -> None:
    """Create the node and those above it, as far as they are missing.

    With ``acl=creator`` every node that is made, and with the option written out also every one below the
    registry's path that is there already, belongs to whoever made it alone: who may delete a node is said by
    its parent.

    Args:
        connection: to the server.
        location: has the access wanted.
        path: absolute.
        told: the nodes that were complained about; each is, once.
    """
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        step = "/" + "/".join(parts[:depth])
        try:
            if not await connection.exists(step):
                await connection.create(step, b"")
                continue
        except NodeExists:
            pass  # somebody else was quicker
        except NoNode:
            # Somebody removed the parent meanwhile: the next attempt begins above.
            return
        if location.acl == "creator":
            await _close(connection, location, step, told)


async def _close(connection: Connection, location: Location, path: str, told: set[str]) -> None:
    try:
        if not await open_to_all(connection, path):
            return
        if location.explicit_acl:
            await connection.protect(path)
            return
    except NoAuth:
        return  # closed, if not by us
    if path not in told:
        told.add(path)
        log.warning(
            "Anybody may change or remove what is in %s of %s: set its access list, "
            "or write acl=creator in the registry's URL to have that done",
            path,
            location.url,
        )
