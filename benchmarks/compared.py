"""One of the two processes of :mod:`benchmarks.against`: ``python -m benchmarks.compared``.

It uses only what all versions of peerage have. Each line of its input is a JSON list, a command and its
arguments; it answers each with the CPU seconds of one action.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from benchmarks.records import record
from peerage.directory import Directory
from peerage.discovery import Discovery
from peerage.registry import Record, open_registry

_LARGE = 10_000


class Compared:
    """The commands."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._once = _picker()
        self._directories: dict[int, Directory] = {}

    async def do_open(self, ports: list[int]) -> None:
        """Advertise a service on these ports, and open sessions."""
        registry = open_registry("memory:against")
        self._stack.push_async_callback(registry.aclose)
        for number, port in enumerate(ports):
            fields = {"host": "127.0.0.1", "service_id": "orders", "instance_id": f"orders-{number}"}
            data = json.dumps({**fields, "web": [["0.0.0.0", port]]}).encode()  # noqa: S104 - a notation of the record
            await registry.advertise("App", data).registered()
        self._discovery = await self._stack.enter_async_context(Discovery("memory:against"))
        self._session = await self._stack.enter_async_context(self._discovery.session())
        self._plain = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._url = f"http://127.0.0.1:{ports[0]}/"
        self._many = await self._stack.enter_async_context(Discovery("memory:many"))
        await self._many.ready()
        many = open_registry("memory:many")
        self._stack.push_async_callback(many.aclose)
        owners = [many.advertise("App", record(number).data) for number in range(_LARGE)]
        for owner in owners:
            await owner.registered()
        while len(self._many.directory) < _LARGE:  # noqa: ASYNC110 - versions differ in what they notify
            await asyncio.sleep(0.01)

    async def do_request(self, count: int) -> dict[str, float]:
        """Measure by how much a request by name costs more than one to a fixed URL."""

        async def get(session: aiohttp.ClientSession, url: str) -> None:
            async with session.get(url) as response:
                await response.read()

        named = await _cpu(lambda: get(self._session, "http://orders.service_id.asab/"), count)
        fixed = await _cpu(lambda: get(self._plain, self._url), count)
        return {"seconds": named - fixed, "fixed": fixed}

    async def do_locate(self, count: int) -> dict[str, float]:
        """Measure a look-up."""
        return {"seconds": await _cpu(lambda: self._many.locate(service_id="orders7"), count)}

    async def do_pick(self, size: int, count: int) -> dict[str, float]:
        """Measure a pick, its request begun and done."""
        targets = self._service_of(size).targets("service_id", "orders")
        once = self._once
        begin = time.process_time()
        for _ in range(count):
            once(targets)
        return {"seconds": (time.process_time() - begin) / count}

    def _service_of(self, size: int) -> Directory:
        if size not in self._directories:
            directory = self._directories[size] = Directory()
            for number in range(size):
                fields = json.loads(record(number).data) | {"service_id": "orders"}
                directory.put(Record(f"App.{number:010d}", json.dumps(fields).encode(), number))
        return self._directories[size]


def _picker() -> Callable[[Any], None]:
    """Return a function that picks one instance, and begins and ends a request to it."""
    from peerage import balancing  # noqa: PLC0415 - versions differ in what it has

    if hasattr(balancing.Balancer, "started"):  # an older version
        old: Any = balancing.Balancer(random.Random(0))  # type: ignore[call-arg]

        def once(instances: Any) -> None:
            instance = old.pick(instances)
            old.started(instance)
            old.finished(instance)

    else:
        balancer = balancing.Balancer(random.Random(0), time.monotonic)
        answered = balancing.Outcome.ANSWERED

        def once(instances: Any) -> None:
            pick = balancer.pick(instances)
            assert pick is not None
            pick.done(answered, 0.001)

    return once


async def _cpu(action: Callable[[], Awaitable[Any]], count: int) -> float:
    begin = time.process_time()
    for _ in range(count):
        await action()
    return (time.process_time() - begin) / count


async def main() -> None:
    """Carry out the commands."""
    async with AsyncExitStack() as stack:
        compared = Compared(stack)
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, *arguments = json.loads(line)
            print(json.dumps(await getattr(compared, f"do_{command}")(*arguments)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
