"""The processes by which a registry is measured: ``python -m benchmarks.workers ROLE URL …``.

Each writes one line of JSON when it is ready or done, and ends when its standard input does.
"""

import asyncio
import gc
import json
import logging
import resource
import socket
import sys
import time
from typing import Any

from benchmarks.heartbeat import Heartbeat
from benchmarks.records import data, version_mark
from peerage.directory import Change
from peerage.discovery import Discovery
from peerage.registry import Put, Registry, open_registry


async def _own(url: str, count: str, first: str) -> None:
    """Advertise *count* records and hold them; at each line, advertise as many more at once as it says."""
    registry = open_registry(url)
    numbers = iter(range(int(first), 10_000_000))

    async def add(more: int) -> None:
        owners = [registry.advertise("BenchApplication", data(next(numbers))) for _ in range(more)]
        for owner in owners:
            await owner.registered()
        _say("ready")

    await add(int(count))
    while line := await asyncio.to_thread(sys.stdin.readline):
        await add(int(line))
    await registry.aclose()


async def _sync(url: str, count: str) -> None:
    """Read everything once; write how long it took, and the longest time that the loop was blocked."""
    # Loading modules is a cost of starting, not of reading the registry.
    unopened = Discovery(url)
    with Heartbeat() as heart:
        await asyncio.sleep(0.05)
        heart.take()
        begin, cpu = time.perf_counter(), time.process_time()
        async with unopened as discovery:
            await discovery.ready(120)
            await discovery.locate(service_id="orders7")
            wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
            known = len(discovery.directory) == int(count)
            _say({"known": known, "wall": wall, "cpu": cpu, "gap": heart.take()})


async def _idle(url: str, seconds: str) -> None:
    """Know everything and do nothing; write the share of a core that it costs."""
    async with Discovery(url) as discovery:
        await discovery.ready(120)
        await asyncio.sleep(2)
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(float(seconds))
        _say((time.process_time() - cpu) / (time.perf_counter() - begin))


async def _burst(url: str, more: str) -> None:
    """Write the CPU seconds spent until *more* instances than at first are known."""
    async with Discovery(url) as discovery:
        await discovery.ready(120)
        wanted = len(discovery.directory) + int(more)
        reached = asyncio.Event()

        def count(_: Change) -> None:
            if len(discovery.directory) >= wanted:
                reached.set()

        discovery.directory.subscribe(count)
        _say("ready")
        cpu = time.process_time()
        await reached.wait()
        _say(time.process_time() - cpu)
        await asyncio.to_thread(sys.stdin.readline)


async def _blink(url: str, count: str) -> None:
    """Advertise a record again and again, each time with the moment by the monotonic clock."""
    registry = open_registry(url)
    for _ in range(int(count)):
        owner = registry.advertise("BenchApplication", repr(time.monotonic()).encode())
        await owner.registered()
        # A record that is removed before a watcher has read it isn't seen.
        await asyncio.sleep(0.02)
        await owner.withdraw()
    await registry.aclose()
    _say("done")


async def _see(url: str, count: str) -> None:
    """Write the seconds that each of *count* records took to arrive, from the moment that it carries."""
    registry = open_registry(url)
    latencies: list[float] = []
    watch = registry.watch()
    await anext(watch)
    _say("ready")
    async for event in watch:
        if isinstance(event, Put):
            latencies.append(time.monotonic() - float(event.record.data))
            if len(latencies) == int(count):
                break
    _say(latencies)
    await registry.aclose()


async def _amend(url: str, number: str) -> None:
    """Advertise one record; at each line, change it as often as it says, each time with the moment."""
    registry = open_registry(url)
    owner = registry.advertise("BenchApplication", data(int(number)))
    await owner.registered()
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        for version in range(int(line)):
            began = data(int(number), version, extra={"began": time.monotonic()})
            owner.update(began)
            await owner.registered()
            await asyncio.sleep(0.01)
        _say("done")
    await registry.aclose()


async def _follow(url: str) -> None:
    """Know everything; at each line, follow as many changes, and write latencies and CPU seconds.

    Changes may be merged; the last one has the highest version.
    """
    async with Discovery(url) as discovery:
        await discovery.ready(120)
        latencies: list[float] = []
        seen = asyncio.Event()
        last = b"?"

        def note(change: Change) -> None:
            if change.after is not None:
                _, _, rest = change.after.data.partition(b'"began": ')
                latencies.append(time.monotonic() - float(rest.partition(b",")[0]))
                if last in change.after.data:
                    seen.set()

        discovery.directory.subscribe(note)
        _say("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            latencies.clear()
            seen.clear()
            last = version_mark(int(line) - 1)
            cpu = time.process_time()
            await seen.wait()
            _say({"latencies": latencies, "cpu": time.process_time() - cpu})


async def _memory(url: str, count: str) -> None:
    """Write by how many bytes of RSS the process grows until it knows everything and has answered."""
    from benchmarks.directory import resident, warm  # noqa: PLC0415 - the other roles don't need it

    unopened = Discovery(url)
    gc.collect()
    before = resident()
    async with unopened as discovery:
        await discovery.ready(120)
        balancer = warm(discovery.directory, int(count))
        gc.collect()
        _say({"known": len(discovery.directory), "grown": resident() - before})
        del balancer  # its memory counts until here


async def _members(url: str, clients: str, each: str, wanted: str, first: str) -> None:
    """Be *clients* clients, each of which advertises *each* records and waits until it knows *wanted* in all.

    At the first line they begin; at each other line, they wait until the registry is lost and found again.
    Each time they write when it was over, the CPU seconds and the bytes received.
    """
    logging.getLogger("peerage").setLevel(logging.ERROR)  # losing the registry is what is measured
    received = 0
    recv = socket.socket.recv

    def count(self: socket.socket, *args: int) -> bytes:
        nonlocal received
        part = recv(self, *args)
        received += len(part)
        return part

    socket.socket.recv = count  # type: ignore[method-assign] # kazoo reads by nothing else
    registries: list[Registry] = [open_registry(url) for _ in range(int(clients))]
    everyone = [Discovery(registry) for registry in registries]
    records = [data(int(first) + number) for number in range(int(clients) * int(each))]
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    cpu = time.process_time()
    for number, (registry, discovery) in enumerate(zip(registries, everyone, strict=True)):
        await discovery.__aenter__()
        for record in records[number * int(each) : (number + 1) * int(each)]:
            registry.advertise("BenchApplication", record)

    async def until(condition: Any) -> None:
        while not all(condition(discovery) for discovery in everyone):  # noqa: ASYNC110 - several to look at
            await asyncio.sleep(0.02)

    while True:
        await until(lambda one: one.stale is None and len(one.directory) >= int(wanted))
        _say({"at": time.monotonic(), "cpu": time.process_time() - cpu, "received": received})
        if not await asyncio.to_thread(sys.stdin.readline):
            break
        cpu, received = time.process_time(), 0
        _say("ready")
        await until(lambda one: one.stale is not None)


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    roles = {
        "amend": _amend,
        "blink": _blink,
        "burst": _burst,
        "follow": _follow,
        "idle": _idle,
        "members": _members,
        "memory": _memory,
        "own": _own,
        "see": _see,
        "sync": _sync,
    }
    asyncio.run(roles[sys.argv[1]](*sys.argv[2:]))
