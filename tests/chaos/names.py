"""A caller of services whose hosts the system looks up: a program, which takes commands as lines of JSON.

``["know", service, host, port]``: an instance joins, and is called from now on. ``["results"]``: answers how
the calls ended so far: each ``[service, end, error]``, in seconds of the monotonic clock.
"""

import asyncio
import json
import sys
import time

import aiohttp

from peerage import Discovery
from peerage.registry import open_registry

results: list[tuple[str, float, str | None]] = []


async def call(session: aiohttp.ClientSession, service: str) -> None:
    error = None
    try:
        async with session.get(f"http://{service}.service_id.asab/") as response:
            await response.read()
    except Exception as failure:  # noqa: BLE001 - counted
        error = str(failure)
    results.append((service, time.monotonic(), error))


async def main() -> None:
    loop = asyncio.get_running_loop()
    registry = open_registry("memory:names")
    async with Discovery(registry) as discovery, discovery.session() as session, asyncio.TaskGroup() as calls:

        async def send(service: str) -> None:
            while True:
                calls.create_task(call(session, service))
                await asyncio.sleep(0.05)

        sending = []
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command, *arguments = json.loads(line)
            if command == "know":
                service, host, port = arguments
                record = {
                    "host": host,
                    "service_id": service,
                    "instance_id": service,
                    "web": [["0.0.0.0", port]],
                }
                await registry.advertise("Known", json.dumps(record).encode()).registered()
                sending.append(calls.create_task(send(service)))
            sys.stdout.write(f"{json.dumps(results)}\n")
            sys.stdout.flush()
        for each in sending:
            each.cancel()
    await registry.aclose()


asyncio.run(main())
