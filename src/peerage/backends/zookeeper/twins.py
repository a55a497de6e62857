"""Finds the node of a create whose answer never came: another one would be its twin."""

import asyncio
import logging
from collections.abc import Container

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import NoAuth, NoNode
from peerage.backends.zookeeper.requests import Entry

__all__ = ["find_twin"]

log = logging.getLogger(__name__)


async def find_twin(
    connection: Connection, record: str, *, session: int, data: bytes, taken: Container[str]
) -> str | None:
    """Return the name of the node that *session* made with *data*, None if there is none to be seen.

    Args:
        connection: to the server.
        record: path of the node, without its digits.
        session: which made it.
        data: what it holds; unique, or the node could be somebody else's.
        taken: names of nodes that are known to be others'.

    Raises:
        Failure: whether there is one isn't known yet.
    """
    folder, _, prefix = record.rpartition("/")
    # Through the leader: what was under way at another server is done or never will be.
    await connection.sync(folder)
    try:
        nodes = [node for node in await connection.children(folder) if node.startswith(prefix)]
    except NoNode:
        return None
    except NoAuth:
        log.warning(
            "Whether the record %s is registered twice can't be seen, for %s may not be listed: "
            "let this process read it, or one of the two stays until its session ends",
            prefix.removesuffix("."),
            folder,
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
        return None  # gone since, or not ours
