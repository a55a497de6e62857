"""Asks a server for its version, by the only four-letter word that is enabled by default."""

import asyncio
import re
import ssl
from typing import Final

__all__ = ["ask_version"]

_VERSION: Final = re.compile(rb"Zookeeper version: ([0-9][0-9.]*)")


async def ask_version(server: str, host: str, context: ssl.SSLContext | None) -> str | None:
    """Return the version of *server* (``address:port``), None if it says none; *host* is its name for TLS.

    Raises:
        OSError: it can't be reached.
    """
    address, _, port = server.rpartition(":")
    reader, writer = await asyncio.open_connection(
        address.strip("[]"), int(port), ssl=context, server_hostname=host if context is not None else None
    )
    try:
        writer.write(b"srvr")
        answer = await reader.read(200)
    finally:
        # Without waiting for the end: the answer is all that is needed.
        writer.transport.abort()
    found = _VERSION.search(answer)
    return None if found is None else found.group(1).decode()
