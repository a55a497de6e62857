"""The persistent nodes on the way to a record or a secret: made when missing, closed where asked for."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import NoAuth, NodeExists, NoNode
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.session import ACL

__all__ = ["close", "denial", "ensure", "exposure", "is_open", "is_ours"]

log = logging.getLogger(__name__)

#: Create, write, delete or administer: any of them in strangers' hands is too much.
_CHANGE: Final = 0b11110


def _open_to_all(acl: Sequence[ACL]) -> bool:
    """Say whether with this access list anybody may change a node or what is below it."""
    return any(each.id.scheme == "world" and each.perms & _CHANGE for each in acl)


def denial(location: Location, path: str | None = None) -> str:
    """Say that records can't be written, and what to do about it; *path*: which node is in the way."""
    return (
        f"{location.url} doesn't let this process write to {path or location.folder}: "
        "check its credentials and that node's access list."
    )


async def ensure(connection: Connection, location: Location, path: str, told: set[str]) -> None:
    """Create the node and those above it, as far as they are missing.

    With ``acl=creator`` every node that is made, and with the option written out also the registry's path and
    those below it that are there already, belongs to whoever made it alone: who may delete a node is said by
    its parent. Nodes above the path are others' as well, so they are left as they are.

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
                with suppress(NodeExists):  # somebody else was quicker
                    await connection.create(step, b"")
                    continue
            if location.acl == "creator":
                await _close(connection, location, step, told)
        except NoNode:
            # Somebody removed it, or its parent, meanwhile: the next attempt begins above.
            return


async def _close(connection: Connection, location: Location, path: str, told: set[str]) -> None:
    if not await is_open(connection, path) or await close(connection, location, path):
        return
    if path not in told:
        told.add(path)
        log.warning("%s", exposure(location, path, told))


async def is_open(connection: Connection, path: str) -> bool:
    """Say whether anybody may change the node or what is below it.

    Raises:
        NoNode: there is none.
    """
    try:
        return _open_to_all(await connection.acl_of(path))
    except NoAuth:
        return False  # closed, if not by us


async def close(connection: Connection, location: Location, path: str) -> bool:
    """Close the node to everybody else, if that is asked for and allowed; say whether."""
    if not location.explicit_acl or not is_ours(location, path):
        return False
    try:
        await connection.protect(path)
    except NoAuth:
        return False
    return True


def exposure(location: Location, path: str, told: set[str]) -> str:
    """Say that strangers may change what is in *path*, and what to do about it."""
    if not is_ours(location, path):
        advice = ": set its access list."
    elif not location.explicit_acl:
        advice = ": set its access list, or write acl=creator in the registry's URL to have that done."
    elif path in told:
        advice = (
            ", and this process may not close it, as acl=creator asks for: "
            "have its access list set by somebody who may administer that node."
        )
    else:
        advice = ": it will be closed with the first record that is advertised here."
    return f"Anybody may change or remove what is in {path} of {location.url}{advice}"


def is_ours(location: Location, path: str) -> bool:
    """Say whether the node is the registry's path or below it: those above are others' as well."""
    # The server's own root is everybody's, also for whoever keeps the registry right below it.
    return path != "/" and f"{path}/".startswith(f"{location.path}/")
