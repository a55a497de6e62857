"""The persistent nodes on the way to a record or a secret: made when missing, closed where asked for."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import NoAuth, NodeExists, NoNode
from peerage.backends.zookeeper.location import Credentials, Location
from peerage.backends.zookeeper.session import ACL

__all__ = ["denial", "ensure", "may_create", "open_to_all"]

log = logging.getLogger(__name__)

#: Create, write, delete or administer: any of them in strangers' hands is too much.
_CHANGE: Final = 0b11110
_CREATE: Final = 0b00100


def open_to_all(acl: Sequence[ACL]) -> bool:
    """Say whether with this access list anybody may change a node or what is below it."""
    return any(each.id.scheme == "world" and each.perms & _CHANGE for each in acl)


def may_create(acl: Sequence[ACL], credentials: Credentials | None) -> bool:
    """Say whether with *credentials* nodes can be made below one with this list, as far as it tells."""
    return any(each.perms & _CREATE and _means(each.id, credentials) for each in acl)


def _means(who: Any, credentials: Credentials | None) -> bool:
    if who.scheme not in {"digest", "sasl"}:
        return True  # the world; or by address or certificate, which the server alone can tell
    # What follows the user in a digest is hidden from those who may not change the list.
    user = who.id.partition(":")[0] if who.scheme == "digest" else who.id
    return credentials is not None and (credentials.mechanism, credentials.user) == (who.scheme, user)


def denial(location: Location) -> str:
    """Say that records can't be written, and what to do about it."""
    return (
        f"{location.url} doesn't let this process write to {location.folder}: "
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
    ours = f"{path}/".startswith(f"{location.path}/")
    try:
        if not open_to_all(await connection.acl_of(path)):
            return
        if location.explicit_acl and ours:
            await connection.protect(path)
            return
    except NoAuth:
        return  # closed, if not by us
    if path not in told:
        told.add(path)
        log.warning(
            "Anybody may change or remove what is in %s of %s: set its access list%s",
            path,
            location.url,
            ", or write acl=creator in the registry's URL to have that done" * ours,
        )
