"""Finds the node of a create whose answer was lost, so that no second node is created."""

import asyncio
import logging
from collections.abc import Container

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import NoAuth, NoNode
from peerage.backends.zookeeper.requests import Entry

__all__ = ["find_created"]

log = logging.getLogger(__name__)


async def find_created(
    connection: Connection, record: str, *, session: int, data: bytes, taken: Container[str]
) -> str | None:
    """Return the name of the node that *session* created with *data*, None if there is none to be seen.

    Args:
        connection: to the server.
        record: path of the node, without its digits.
        session: which created it.
        data: what it holds; must be unique, or the node could be another record's.
        taken: names of nodes that are known to belong to other records.

    Raises:
        Failure: whether there is one isn't known yet.
    """
    folder, _, prefix = record.rpartition("/")
    # Answered by the leader: a create that was still under way at another server is now done, or never will
    # be.
    await connection.sync(folder)
    try:
        nodes = [node for node in await connection.children(folder) if node.startswith(prefix)]
    except NoNode:
        return None
    except NoAuth:
        log.warning(
            "%s may not be listed, so whether the record %s is registered twice can't be seen: let this "
            "process read that node, or one of the two records stays until its session ends",
            folder,
            prefix.removesuffix("."),
        )
        return None
    entries = await asyncio.gather(*(_read(connection, f"{folder}/{node}") for node in nodes))
    return next(
        (
            node
            for node, entry in zip(nodes, entries, strict=True)
            if entry is not None and (entry.owner, entry.data) == (session, data) and node not in taken
        ),
        None,
    )


async def _read(connection: Connection, path: str) -> Entry | None:
    try:
        return await connection.read(path)
    except (NoNode, NoAuth):
        return None  # removed meanwhile, or not ours
