"""The persistent nodes above a record or a secret: created when missing, closed to others where asked for."""

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

#: The rights to create, write, delete and administer: none of them may be given to the world.
_CHANGE: Final = 0b11110


def _open_to_all(acl: Sequence[ACL]) -> bool:
    """Return whether this access list lets anybody change a node or what is below it."""
    return any(each.id.scheme == "world" and each.perms & _CHANGE for each in acl)


def denial(location: Location, path: str | None = None) -> str:
    """Return the message that the folder, or *path*, can't be written to, and what to do about it."""
    return (
        f"{location.url} doesn't let this process write to {path or location.folder}: "
        "check its credentials and that node's access list."
    )


async def ensure(connection: Connection, location: Location, path: str, warned: set[str]) -> None:
    """Create the node and those above it, as far as they are missing.

    With ``acl=creator`` every node that is created gives all rights to its creator alone: the access list of
    the parent decides who may delete a node. If the option is written out, the registry's path and the nodes
    below it that are there already are closed as well. Nodes above the path belong to others, too, and stay
    as they are.

    Args:
        connection: to the server.
        location: has the access wanted.
        path: absolute.
        warned: paths about which a warning was logged; there is one for each.
    """
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts) + 1):
        step = "/" + "/".join(parts[:depth])
        try:
            if not await connection.exists(step):
                with suppress(NodeExists):  # created by another process meanwhile
                    await connection.create(step, b"")
                    continue
            if location.acl == "creator":
                await _close(connection, location, step, warned)
        except NoNode:
            # The node or its parent was removed meanwhile: the next attempt begins at the top.
            return


async def _close(connection: Connection, location: Location, path: str, warned: set[str]) -> None:
    if not await is_open(connection, path) or await close(connection, location, path):
        return
    if path not in warned:
        warned.add(path)
        log.warning("%s", exposure(location, path, warned))


async def is_open(connection: Connection, path: str) -> bool:
    """Return whether anybody may change the node or what is below it.

    Raises:
        NoNode: there is none.
    """
    try:
        return _open_to_all(await connection.acl_of(path))
    except NoAuth:
        return False  # closed, though not by this process


async def close(connection: Connection, location: Location, path: str) -> bool:
    """Close the node to all others, if that is asked for and allowed; return whether it was."""
    if not location.explicit_acl or not is_ours(location, path):
        return False
    try:
        await connection.protect(path)
    except NoAuth:
        return False
    return True


def exposure(location: Location, path: str, warned: set[str]) -> str:
    """Return the message that anybody may change what is in *path*, and what to do about it."""
    if not is_ours(location, path):
        advice = ": set its access list."
    elif not location.explicit_acl:
        advice = ": set its access list, or write acl=creator in the registry's URL to have that done."
    elif path in warned:
        advice = (
            ", and this process may not close it, as acl=creator asks for: "
            "let an administrator of that node set its access list."
        )
    else:
        advice = ": it will be closed with the first record that is advertised here."
    return f"Anybody may change or remove what is in {path} of {location.url}{advice}"


def is_ours(location: Location, path: str) -> bool:
    """Return whether the node is the registry's path or below it: nodes above belong to others as well."""
    # The root belongs to all, also for a registry that is right below it.
    return path != "/" and f"{path}/".startswith(f"{location.path}/")
