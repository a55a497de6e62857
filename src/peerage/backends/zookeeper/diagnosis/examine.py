"""Asks the servers, and over the session, and judges what they say."""

import asyncio
import ssl
from typing import Final

from kazoo.protocol.serialization import GetACL

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.diagnosis.access import (
    Access,
    Right,
    check_access,
    check_children,
    check_session,
)
from peerage.backends.zookeeper.diagnosis.servers import check_servers
from peerage.backends.zookeeper.diagnosis.words import Stage, ask_server
from peerage.backends.zookeeper.failures import Failure, NoAuth, NoNode
from peerage.diagnosis import Finding, LookUp, Severity

#: Seconds until there must be a session, and until it must have answered.
_SECONDS: Final = 3.0


async def examine(
    connection: Connection, context: ssl.SSLContext | None, look_up: LookUp, secret: str
) -> list[Finding]:
    """Return what is found about the servers and the session; see :class:`peerage.diagnosis.Diagnosable`.

    Args:
        connection: begun.
        context: for TLS; None for connections without.
        look_up: returns the addresses of a host.
        secret: the path of the private key of the cluster.
    """
    servers = connection.location.hosts.split(",")
    over_session = asyncio.ensure_future(_examine_session(connection, secret))
    try:
        asked = await asyncio.gather(*(ask_server(server, look_up, context) for server in servers))
        findings = check_servers(asked, connection.location)
        if any(each.stage in {Stage.SERVES, Stage.HUSHED} for each in asked):
            findings += await over_session
        return findings
    finally:
        over_session.cancel()


async def _examine_session(connection: Connection, secret: str) -> list[Finding]:
    location = connection.location
    try:
        async with asyncio.timeout(_SECONDS):
            up = await connection.wait_connected()
            paths = [path for path in (location.path, location.folder) if path]
            found = [await _access(connection, path) for path in paths]
            found += await _key_access(connection, secret)
            names = await _children(connection, location.folder)
    except (TimeoutError, Failure) as error:
        if connection.up is None:
            return []  # the health of the registry says why
        reason = str(error) or "too slow"
        return [
            Finding(
                "access",
                Severity.WARNING,
                "",
                f"The access lists couldn't be read ({reason}).",
                "Run this again.",
            )
        ]
    exposed = check_access([each for each in found if each is not None], location)
    large = check_children(location.folder, names)
    session = check_session(location.session_timeout, up.session_timeout)
    return [session, *exposed, *([] if large is None else [large])]


async def _key_access(connection: Connection, secret: str) -> list[Access | None]:
    """Return who may use the key and the folder that it is in; nothing if there is no key."""
    key = await _access(connection, secret, is_key=True)
    return [] if key is None else [key, await _access(connection, secret.rpartition("/")[0])]


async def _access(connection: Connection, path: str, *, is_key: bool = False) -> Access | None:
    """Return what all clients may do with a node; None if there is none."""
    try:
        entries, _ = await connection.post(GetACL(path))
    except NoNode:
        return None
    except NoAuth:
        return Access(path, Right(0), is_key)
    world = Right(0)
    for entry in entries:
        if entry.id.scheme == "world":
            world |= Right(entry.perms & 0b11111)
    return Access(path, world, is_key)


async def _children(connection: Connection, path: str) -> list[str]:
    try:
        return await connection.children(path)
    except (NoNode, NoAuth):
        return []
