"""Asking a port with a ``HEAD /``, which does nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from peerage.client.lateness import patient_timeout
from peerage.client.tlsprobe import unverified_context
from peerage.records.addresses import authority

#: The kernel repeats an unanswered handshake after longer and longer pauses. The next attempt comes sooner.
_CONNECT_SECONDS: Final = 1.0

_T = TypeVar("_T")


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
async def asked(
    address: str, port: int, *headers: str, secure: bool, host: str | None = None
) -> AsyncIterator[asyncio.StreamReader]:
    """Send a ``HEAD /`` with further *headers*, ``Name: value``, and read the answer in the block.

    The header ``Host`` is *host*, by default the address and the port.

    Raises:
        OSError: no connection was made.
    """
    reader, writer = await connect(address, port, secure=secure)
    try:
        lines = (
            "HEAD / HTTP/1.1",
            f"Host: {host or authority(address, port)}",
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


async def by_scheme(scheme: str | None, ask: Callable[[bool], Awaitable[_T]]) -> _T:
    """Return what *ask* returns, called with whether to use TLS.

    Records of asab don't say which ports speak TLS, so *scheme* is None. A port that does closes the
    connection then, and *ask* is called again.
    """
    if scheme is not None:
        return await ask(scheme == "https")
    try:
        return await ask(False)  # noqa: FBT003 - as every caller's function takes it
    except (OSError, EOFError):
        return await ask(True)  # noqa: FBT003 - likewise
