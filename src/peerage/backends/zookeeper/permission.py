"""Finds out whether records can be created, by asking the server and without creating one.

The access lists don't say enough: a server may have administrators, may be configured to ignore its lists,
and hides the passwords in a list from clients that may not change it.
"""

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import denial
from peerage.backends.zookeeper.requests import NO_AUTH, NO_NODE, Rehearse

__all__ = ["find_obstacle"]


async def find_obstacle(connection: Connection, location: Location) -> str | None:
    """Return what keeps this process from advertising and what to do about it, None if nothing does.

    Raises:
        Failure: the server didn't answer the question.
    """
    parent = location.folder
    error = await _rehearse(connection, parent)
    while error == NO_NODE and parent != "/":
        # The folder is created with the first record, in the node above.
        parent = parent.rpartition("/")[0] or "/"
        error = await _rehearse(connection, parent)
    if not error:
        return None
    if error == NO_AUTH:
        return denial(location, parent)
    return (
        f"{location.url} creates no node in {parent} (ZooKeeper's error {error}): "
        "look in the server's log for what is wrong with that node."
    )


async def _rehearse(connection: Connection, parent: str) -> int:
    errors: list[int] = await connection.post(Rehearse(parent))
    return errors[0]
