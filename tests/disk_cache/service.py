"""A service that answers with its name, and calls the one that its standard input names."""

import asyncio
import os
import sys

from aiohttp import web

from peerage import Discovery
from peerage.web.running import bound_web


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(registry: str, name: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"])).start()
    async with Discovery(registry, service_id=name) as discovery, discovery.session() as session:
        await discovery.advertise(web=bound_web(runner))
        await discovery.ready()
        say("ready")
        while wanted := (await asyncio.to_thread(sys.stdin.readline)).strip():
            if wanted == "age":
                say(discovery.stale is not None, discovery.age)
                continue
            async with session.get(f"http://{wanted}.service_id.asab/") as response:
                say(await response.text())
    await runner.cleanup()


asyncio.run(main(*sys.argv[1:]))
