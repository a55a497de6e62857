"""A program that lives through years in minutes: ``python -m tests.chaos.soak SERVER ROUNDS``.

In each round instances join, are called and leave, another Discovery opens and closes, and the connection to
the registry, ZooKeeper at *SERVER*, is cut or lost. After each round it writes a line of JSON: what it holds.
"""

import asyncio
import gc
import json
import os
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.zookeeper import Proxy

#: Calls of a round.
CALLS: Final = 20

#: Rounds of which one has an outage, and one the end of a session.
OUTAGES: Final = 4
EXPIRIES: Final = 6

ORDERS: Final = "http://orders.service_id.asab/"


async def serve(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(text="ok")


class Soak:
    """What lasts for all rounds: a server, one instance, and a caller whose connection is disturbed."""

    def __init__(self, url: str, proxy: Proxy, caller: Discovery, port: int) -> None:
        self.url = url
        self.proxy = proxy
        self.caller = caller
        self.port = port

    async def round(self, number: int) -> None:
        """Let each thing happen once."""
        async with Discovery(self.url, service_id="orders", instance_id=f"joins-{number}") as joins:
            registration = await joins.advertise(port=self.port)
            await self._known(2)
            registration.update(extra={"round": number})
            async with self.caller.session() as session:
                await self._call(session, CALLS)
                # The loss is waited for: what leaves then counts as vanished, and three in 3 s as a mass.
                lost = asyncio.ensure_future(self.caller.membership.wait_changed())
                await asyncio.sleep(0)
                if number % OUTAGES == 0:
                    await self.proxy.refuse()
                    await lost
                    await self._call(session, CALLS)
                    await self.proxy.heal()
                elif number % EXPIRIES == 0:
                    await self.proxy.expire_sessions()
                else:
                    self.proxy.cut()
                await lost
                await self._call(session, CALLS)
                await self.caller.membership.wait_in_touch()
        await self._known(1)

    async def _known(self, count: int) -> None:
        await eventually(lambda: len(self.caller.directory.find((("service_id", "orders"),))) == count)

    async def _call(self, session: aiohttp.ClientSession, count: int) -> None:
        for number in range(count):
            async with session.request("GET" if number % 2 else "PUT", ORDERS, data=b"x" * 100) as response:
                assert await response.text() == "ok"


def held() -> dict[str, float]:
    """What this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "traced": tracemalloc.get_traced_memory()[0],
        "blocks": sys.getallocatedblocks(),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
    }


async def main(server: str, rounds: int) -> None:
    app = web.Application()
    app.router.add_route("*", "/", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    direct = f"zookeeper://{server}/soak?session_timeout=3"
    async with (
        Proxy(server) as proxy,
        Discovery(direct, service_id="orders", instance_id="stays") as stays,
        Discovery(f"zookeeper://{proxy.address}/soak?session_timeout=3", service_id="shop") as caller,
    ):
        await stays.advertise(port=port)
        await caller.advertise(port=port)
        soak = Soak(direct, proxy, caller, port)
        for number in range(1, rounds + 1):
            await soak.round(number)
            sys.stdout.write(json.dumps(held()) + "\n")
            sys.stdout.flush()
    await runner.cleanup()


if __name__ == "__main__":
    tracemalloc.start()
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
