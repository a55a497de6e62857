"""What these tests share: a bare client for what no registry would write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kazoo.client import KazooClient


@asynccontextmanager
async def bare_client(address: str, **options: object) -> AsyncIterator[KazooClient]:
    """A plain kazoo client; its calls wait, so make them by way of asyncio.to_thread."""
    client = KazooClient(address, timeout=5, **options)
    await asyncio.to_thread(client.start)
    try:
        yield client
    finally:
        await asyncio.to_thread(client.stop)
        await asyncio.to_thread(client.close)


def folder_of(url: str) -> str:
    """The folder of records of a registry's URL."""
    return "/" + url.split("/", 3)[3].partition("?")[0] + "/run"
