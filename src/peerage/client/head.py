"""Asking a port with a ``HEAD /``, which does nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from peerage.client.lateness import patient_timeout
from peerage.client.tlsprobe import unverified_context
from peerage.records.addresses import authority

#: The kernel repeats an unanswered handshake after longer and longer pauses. The next attempt comes sooner.
_CONNECT_SECONDS: Final = 1.0


async def connect(
    address: str, port: int, *, secure: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect within a second, by TLS whose certificate isn't verified if *secure*.

    Raises:
        OSError: no connection was made.
    """
    async with patient_timeout(_CONNECT_SECONDS):
        return await asyncio.open_connection(address, port, ssl=unverified_context() if secure else None)


@asynccontextmanager
async def asked(address: str, port: int, *headers: str, secure: bool) -> AsyncIterator[asyncio.StreamReader]:
    """Send a ``HEAD /`` with further *headers*, ``Name: value``, and read the answer in the block.

    Raises:
        OSError: no connection was made.
    """
    reader, writer = await connect(address, port, secure=secure)
    try:
        lines = (
            "HEAD / HTTP/1.1",
            f"Host: {authority(address, port)}",
            "User-Agent: peerage",
            "Connection: close",
            *headers,
            "",
            "",
        )
        writer.write("\r\n".join(lines).encode())
        yield reader
    finally:
        writer.transport.abort()
