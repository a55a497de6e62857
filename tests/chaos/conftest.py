"""Services as processes that fail in all ways, and callers that count what they notice."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from uuid import uuid4

import aiohttp
import pytest

from peerage import Discovery
from peerage.registry import Advertisement, open_registry
from peerage.testing.children import STRICT, Child, run
from peerage.testing.zookeeper import Ensemble

ORDERS = "http://orders.service_id.asab/"


class Callers:
    """Callers of one Discovery; each result is ``(begin, method, status or error, seconds)``."""

    def __init__(self, session: aiohttp.ClientSession, url: str = ORDERS):
        self.session = session
        self.url = url
        self.results: list[tuple[float, str, int | BaseException, float]] = []
        self._begin = time.monotonic()

    @property
    def now(self) -> float:
        return time.monotonic() - self._begin

    async def call(self, method: str = "GET", **kwargs) -> None:
        begin = self.now
        result: int | BaseException
        try:
            async with self.session.request(method, self.url, **kwargs) as response:
                await response.read()
                result = response.status
        except Exception as error:  # noqa: BLE001 - counted
            result = error
        self.results.append((begin, method, result, self.now - begin))

    async def work(self, workers: int, until: float, *methods: str, pause: float = 0.0, **kwargs) -> None:
        """Let *workers* callers each make one call after the other, until the time *until*."""

        async def one(number: int) -> None:
            rng = Random(number)
            while self.now < until:
                await self.call(rng.choice(methods or ("GET",)), **kwargs)
                await asyncio.sleep(pause)

        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(one(number))

    async def send(self, rate: float, until: float, *methods: str, **kwargs) -> None:
        """Begin *rate* calls a second until the time *until*, and then wait for those under way."""
        begin, made = self.now, 0
        async with asyncio.TaskGroup() as group:
            while self.now < until:
                while made < rate * (self.now - begin):
                    group.create_task(self.call(methods[made % len(methods)], **kwargs))
                    made += 1
                await asyncio.sleep(0.005)

    def failed(self, *methods: str, after: float = 0.0) -> list[object]:
        """The statuses and errors of the calls that failed."""
        return [
            result
            for begin, method, result, _ in self.results
            if begin >= after and result != 200 and (not methods or method in methods)
        ]

    def longest(self) -> float:
        return max(seconds for *_, seconds in self.results)


class Services:
    """Instances of ``orders``, each a process."""

    def __init__(self, stack: AsyncExitStack, registry, discovery: Discovery):
        self._stack = stack
        self._registry = registry
        self.discovery = discovery
        self.children: list[Child] = []
        self.names: list[str] = []
        self.ports: list[int] = []
        self.records: list[Advertisement] = []

    async def start(
        self,
        count: int,
        mode: str = "200",
        seconds: float = 0.002,
        *,
        address: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        journal: Path | str = "",
    ) -> list[Child]:
        """Start *count* instances; *prefix* begins the command, and *journal* is a file for their PUTs."""
        started = []
        for _ in range(count):
            command = (*prefix, *STRICT, Path(__file__).parent / "server.py", address, journal)
            child = await self._stack.enter_async_context(run(*command))
            port = await child.hear()
            await self.behave(child, mode, seconds)
            await self.advertise(port, address)
            self.children.append(child)
            started.append(child)
        return started

    async def advertise(self, port: int, address: str = "127.0.0.1") -> None:
        """Put a record into the registry that outlives the instance, as after the death of a process."""
        record = {"host": address, "service_id": "orders", "web": [["0.0.0.0", port]]}
        made = self._registry.advertise(
            "Orders", json.dumps(record | {"instance_id": f"orders-{port}"}).encode()
        )
        self.names.append(await made.registered())
        self.ports.append(port)
        self.records.append(made)

    async def behave(self, child: Child, mode: str, *seconds: float) -> None:
        """Change how *child* answers: with *mode*, each request after one of the times *seconds*."""
        await child.ask("behave", mode, *(seconds or (0.002,)))

    async def counts(self, child: Child) -> Counter[str]:
        return Counter(await child.ask("count"))

    async def shares(self) -> list[float]:
        """The share of the requests that each process got so far."""
        counts = [(await self.counts(child)).total() for child in self.children]
        return [count / sum(counts) for count in counts]


@asynccontextmanager
async def services_in(url: str):
    """No instances yet, in the registry at *url*."""
    async with AsyncExitStack() as stack:
        registry = open_registry(url)
        stack.push_async_callback(registry.aclose)
        discovery = await stack.enter_async_context(Discovery(url))
        yield Services(stack, registry, discovery)


@pytest.fixture
async def services():
    async with services_in(f"memory:{uuid4()}") as services:
        yield services


@pytest.fixture
async def callers(services):
    async with services.discovery.session() as session:
        yield Callers(session)


@pytest.fixture
def ensemble(tmp_path):
    """Three servers, which the test may disturb."""
    with Ensemble(tmp_path / "servers") as ensemble:
        yield ensemble
