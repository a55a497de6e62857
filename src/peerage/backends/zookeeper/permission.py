"""Finds out whether records can be made, by asking the server and without making one.

Access lists don't tell: a server knows administrators, lets pass what its lists forbid if told to, and hides
whose password is meant from those who may not change the list.
"""

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import denial
from peerage.backends.zookeeper.requests import NO_AUTH, NO_NODE, Rehearse

__all__ = ["find_obstacle"]


async def find_obstacle(connection: Connection, location: Location) -> str | None:
    """Return what keeps this process from advertising and what to do about it, None if nothing does.

    Raises:
        Failure: the server didn't say.
    """
    parent = location.folder
    error = await _rehearse(connection, parent)
    while error == NO_NODE and parent != "/":
        # The folder is made with the first record, in the node above.
        parent = parent.rpartition("/")[0] or "/"
        error = await _rehearse(connection, parent)
    if not error:
        return None
    if error == NO_AUTH:
        return denial(location, parent)
    return (
        f"{location.url} makes no node in {parent} (ZooKeeper's error {error}): "
        "look in the server's log for what is wrong with that node."
    )


async def _rehearse(connection: Connection, parent: str) -> int:
    errors: list[int] = await connection.post(Rehearse(parent))
    return errors[0]
