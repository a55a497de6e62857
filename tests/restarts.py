"""Instances of a service that are restarted one after the other, while callers send GETs and POSTs."""

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol

import aiohttp

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.children import STRICT
from peerage.testing.zookeeper.server import free_port

log = logging.getLogger(__name__)

#: How many restarts, and calls a second. They are few, so that tests end soon; to show more, set them:
#: ``RESTARTS=50 RATE=300 .venv/bin/python -m pytest --timeout 240 --log-cli-level INFO -k restarts``.
RESTARTS: Final = int(os.environ.get("RESTARTS", "3"))
RATE: Final = float(os.environ.get("RATE", "100"))

#: The Python of the services. In its development mode one core carries less than 300 calls a second.
PYTHON: Final = STRICT if RATE <= 100 else (sys.executable,)

#: Calls under way at a time, at most: a machine that is too slow for the rate makes fewer calls a second.
_UNDER_WAY: Final = 60

#: What a supervisor does, in turn: whether the new process serves before the old one gets its signal, and
#: whether it has the port and the name of the old one.
_WAYS: Final = ((False, False), (False, True), (True, False))


class Server(Protocol):
    """A process that serves one instance."""

    @property
    def log(self) -> str: ...

    def terminate(self) -> None: ...

    async def end(self) -> tuple[int, object]: ...


class Start(Protocol):
    """Runs an instance of a name, which listens on *port*."""

    def __call__(self, instance: str, port: int) -> AbstractAsyncContextManager[Server]: ...


class Load:
    """GETs and POSTs that are begun at a rate, whatever becomes of them; POSTs aren't retried."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.failed: list[str] = []
        self.answered = 0
        self.seconds = 0.0
        self._session = session
        self._url = url

    async def send(self, rate: float) -> None:
        """Begin calls until cancelled; those under way are finished then."""
        loop = asyncio.get_running_loop()
        begin, number = loop.time(), 0
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:
            stopping = asyncio.Event()
            while not stopping.is_set():
                number += 1
                if len(under_way) < _UNDER_WAY:
                    task = tasks.create_task(self._call("GET" if number % 2 else "POST"))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                try:
                    await asyncio.sleep(begin + number / rate - loop.time())
                except asyncio.CancelledError:
                    stopping.set()
        self.seconds = loop.time() - begin

    async def some(self, number: int) -> None:
        """Wait until so many more calls were answered."""
        wanted = self.answered + number
        await eventually(lambda: self.answered >= wanted, f"{number} more answers")

    async def _call(self, method: str) -> None:
        data = b"x" if method == "POST" else None
        try:
            async with self._session.request(method, self._url, data=data) as response:
                text = await response.text()
                if response.status == 200:
                    self.answered += 1
                else:
                    self.failed.append(f"{method} {response.status} {text}")
        except Exception as error:  # noqa: BLE001 - counted
            self.failed.append(f"{method} {error!r}")


@asynccontextmanager
async def sending(session: aiohttp.ClientSession, url: str, rate: float = RATE) -> AsyncIterator[Load]:
    """Send calls of *url* in the block, so many a second."""
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
    start: Start,
    *,
    restarts: int = RESTARTS,
    rate: float = RATE,
    instances: int = 2,
    exit_code: int = 0,
    connect: Callable[[Discovery], AbstractAsyncContextManager[Any]] = Discovery.session,
) -> Load:
    """Restart instances of a service, one after the other, while it is called; return what became of it.

    Args:
        registry: where they are found.
        url: where they are called; its host is ``<service>.service_id.asab``.
        start: runs an instance.
        restarts: how many.
        rate: calls a second.
        instances: how many there are at a time.
        exit_code: of an instance that was stopped.
        connect: returns the session that calls them.
    """
    name = url.split("/")[2].partition(".")[0]
    service = (("service_id", name),)
    async with Discovery(registry) as discovery, connect(discovery) as session, AsyncExitStack() as stack:
        running: deque[tuple[Server, str, int]] = deque()
        seen: set[str] = set()

        async def begin(instance: str, port: int) -> None:
            """Start an instance, and wait until it is found and none that was stopped."""
            running.append((await stack.enter_async_context(start(instance, port)), instance, port))

            def all_there() -> bool:
                found = discovery.directory.find(service)
                names = {each.name for each in found}
                return [each.state for each in found] == [None] * len(running) and len(names - seen) == 1

            await eventually(all_there, "each instance found")
            seen.update(each.name for each in discovery.directory.find(service))

        async def end() -> tuple[str, int]:
            stopped, instance, port = running.popleft()
            stopped.terminate()
            assert (await stopped.end())[0] == exit_code, stopped.log
            return instance, port

        for number in range(instances):
            await begin(f"{name}-{number}", free_port())
        async with sending(session, url, rate) as load:
            for number in range(restarts):
                await load.some(int(rate / 5))
                overlap, same = _WAYS[number % len(_WAYS)]
                before = None if overlap else await end()
                new = f"{name}-{instances + number}", free_port()
                await begin(*(before if before is not None and same else new))
                if overlap:
                    await end()
            await load.some(int(rate / 5))
    log.info(
        "%d restarts, %d calls answered, %.0f a second, %d failed",
        *(restarts, load.answered, load.answered / load.seconds, len(load.failed)),
    )
    return load
