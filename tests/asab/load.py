"""Load on the service ``worker`` whose instances come and go."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from peerage import Discovery
from peerage.testing import eventually


class Load:
    """Callers by name, each again and again: a POST isn't repeated, and needn't be."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.failed: list[str] = []
        self._session = session
        self._answered: Counter[str] = Counter()
        self._over = asyncio.Event()
        self._callers = [
            asyncio.create_task(self._call(method, takes))
            for method in ("GET", "POST", "PUT")
            for takes in (0.0, 0.0, 0.0, 0.0, 0.01, 0.01, 0.01)
        ]

    async def answers_of(self, *names: str) -> None:
        """Wait until each of these instances has answered some more."""
        before = self._answered.copy()
        await eventually(lambda: all(self._answered[name] > before[name] + 20 for name in names), f"{names}")

    async def end(self) -> None:
        """Let the calls that are under way be the last."""
        self._over.set()
        await asyncio.gather(*self._callers)

    async def _call(self, method: str, takes: float) -> None:
        """With a pause, in which the connection is kept for the next request."""
        url = f"http://worker.service_id.asab/work?takes={takes}"
        while not self._over.is_set():
            await asyncio.sleep(0.01 - takes)
            try:
                async with self._session.request(method, url, data=b"x" * 1000) as response:
                    text = await response.text()
                    if response.status != 200:
                        self.failed.append(f"{response.status} {text}")
                    else:
                        self._answered[json.loads(text)["who"]] += 1
            except Exception as error:  # noqa: BLE001 - counted
                self.failed.append(repr(error))


@asynccontextmanager
async def load(url: str, instances: int) -> AsyncIterator[Load]:
    """Call as soon as that many are found in the registry *url*."""
    async with Discovery(url) as discovery, discovery.session() as session:
        await eventually(lambda: len(discovery.directory.find((("service_id", "worker"),))) == instances)
        yield Load(session)
