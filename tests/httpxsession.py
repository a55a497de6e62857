"""Lets the callers of tests, which were written for aiohttp, call through httpx."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from peerage import Discovery
from peerage.integrations.httpx import AsyncTransport


class Answer:
    """What the callers use of a response."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code

    async def read(self) -> bytes:
        return await self._response.aread()

    async def text(self) -> str:
        return (await self._response.aread()).decode()


class HttpxSession:
    """An ``httpx.AsyncClient`` with what the callers use of an ``aiohttp.ClientSession``."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @asynccontextmanager
    async def request(
        self,
        method,
        url,
        *,
        timeout=None,  # noqa: ASYNC109 - aiohttp's
        headers=None,
        data=None,
    ) -> AsyncIterator[Answer]:
        """Make a call; of *timeout* the total limits the reading, because httpx has no total."""
        limit = httpx.Timeout(None, read=None if timeout is None else timeout.total or timeout.sock_read)
        async with self._client.stream(method, url, headers=headers, content=data, timeout=limit) as response:
            yield Answer(response)

    def get(self, url, **kwargs):
        return self.request("GET", url, **kwargs)


@asynccontextmanager
async def httpx_session(discovery: Discovery) -> AsyncIterator[HttpxSession]:
    """Open one over *discovery*."""
    async with httpx.AsyncClient(transport=AsyncTransport(discovery)) as client:
        yield HttpxSession(client)
