"""Instances of a service that are restarted one after the other, while callers send POSTs."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import aiohttp

from peerage import Discovery
from peerage.testing import eventually


class Server(Protocol):
    """A process that serves one instance."""

    @property
    def log(self) -> str: ...

    def terminate(self) -> None: ...

    async def end(self) -> tuple[int, object]: ...


class Load:
    """POSTs that are begun at a rate, whatever becomes of them; they aren't repeated, and needn't be."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self._session = session
        self._url = url

    async def send(self, rate: float) -> None:
        """Begin calls until cancelled; those under way are finished then."""
        loop = asyncio.get_running_loop()
        begin, number = loop.time(), 0
        async with asyncio.TaskGroup() as tasks:
            stopping = asyncio.Event()
            while not stopping.is_set():
                number += 1
                tasks.create_task(self._call())
                try:
                    await asyncio.sleep(begin + number / rate - loop.time())
                except asyncio.CancelledError:
                    stopping.set()

    async def some(self, number: int) -> None:
        """Wait until so many more calls were answered."""
        wanted = self.answered + number
        await eventually(lambda: self.answered >= wanted, f"{number} more answers")

    async def _call(self) -> None:
        try:
            async with self._session.post(self._url, data=b"x") as response:
                text = await response.text()
                if response.status == 200:
                    self.answered += 1
                else:
                    self.failed.append(f"{response.status} {text}")
        except Exception as error:  # noqa: BLE001 - counted
            self.failed.append(repr(error))


@asynccontextmanager
async def _sending(session: aiohttp.ClientSession, url: str, rate: float) -> AsyncIterator[Load]:
    load = Load(session, url)
    task = asyncio.create_task(load.send(rate))
    try:
        yield load
    finally:
        task.cancel()
        await task


async def restarted(
    registry: str,
    url: str,
    start: Callable[[int], AbstractAsyncContextManager[Server]],
    *,
    restarts: int = 5,
    rate: float = 100.0,
    instances: int = 2,
) -> Load:
    """Restart instances of a service, one after the other, while it is called; return what became of it.

    Args:
        registry: where they are found.
        url: where they are called; its host is ``<service>.service_id.asab``.
        start: runs the instance of a number.
        restarts: how many.
        rate: calls a second.
        instances: how many there are at a time.
    """
    service = (("service_id", url.split("/")[2].partition(".")[0]),)
    async with Discovery(registry) as discovery, discovery.session() as session, AsyncExitStack() as stack:
        seen: set[str] = set()

        async def complete(new: int) -> None:
            """Wait until so many new records are known, and none of an instance that was stopped."""

            def all_there() -> bool:
                found = discovery.directory.find(service)
                names = {each.name for each in found}
                return [each.state for each in found] == [None] * instances and len(names - seen) == new

            await eventually(all_there, "each instance found")
            seen.update(each.name for each in discovery.directory.find(service))

        servers = deque([await stack.enter_async_context(start(number)) for number in range(instances)])
        await complete(instances)
        async with _sending(session, url, rate) as load:
            for number in range(restarts):
                await load.some(int(rate / 5))
                stopped = servers.popleft()
                stopped.terminate()
                assert (await stopped.end())[0] == 0, stopped.log
                servers.append(await stack.enter_async_context(start(instances + number)))
                await complete(1)
            await load.some(int(rate / 5))
    return load
