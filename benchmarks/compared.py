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
from peerage.balancing import Balancer
from peerage.directory import Directory
from peerage.discovery import Discovery
from peerage.registry import Record, open_registry

_LARGE = 10_000


class Compared:
    """The commands."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._give = _giver()
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
        """Measure how long it takes to give a request to an instance, and to take it back."""
        targets = self._service_of(size).targets("service_id", "orders")
        give = self._give
        begin = time.process_time()
        for _ in range(count):
            give(targets)
        return {"seconds": (time.process_time() - begin) / count}

    def _service_of(self, size: int) -> Directory:
        if size not in self._directories:
            directory = self._directories[size] = Directory()
            for number in range(size):
                fields = json.loads(record(number).data) | {"service_id": "orders"}
                directory.put(Record(f"App.{number:010d}", json.dumps(fields).encode(), number))
        return self._directories[size]


def _giver() -> Callable[[Any], None]:
    """Return what picks an instance and counts one request as begun and ended, whatever the version."""
    if hasattr(Balancer, "started"):
        old: Any = Balancer(random.Random(0))  # type: ignore[call-arg] # the balancer of earlier versions

        def give(targets: Any) -> None:
            instance = old.pick(targets)
            old.started(instance)
            old.finished(instance)

        return give

    from peerage.balancing import Outcome, Pick  # noqa: PLC0415 - earlier versions have none

    new = Balancer(random.Random(0), time.monotonic)
    tells_heads = hasattr(Pick, "answered")

    def give_and_end(targets: Any) -> None:
        pick: Any = new.pick(targets)
        if tells_heads:
            pick.answered(pick.started)
        pick.done(Outcome.ANSWERED, 0.001)

    return give_and_end


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
