"""A program: a service that calls the next service for each request, and passes its answer on.

Its arguments are the URL of the registry, its own name, and that of the next service. It writes a line when
it is found, and ends with its input.
"""

import asyncio
import sys

import aiohttp
from aiohttp import web

from peerage import Discovery
from peerage.web import propagate


async def main(registry: str, name: str, following: str) -> None:
    async def serve(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response()
        try:
            async with session.request(request.method, f"http://{following}.service_id.asab/") as response:
                return web.Response(status=response.status)
        except aiohttp.ClientError:
            return web.Response(status=502)

    app = web.Application(middlewares=[propagate()])
    app.router.add_route("*", "/", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Discovery(registry, service_id=name) as discovery, discovery.session() as session:
        await discovery.advertise(web=runner.addresses)
        sys.stdout.write("found\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await runner.cleanup()


asyncio.run(main(*sys.argv[1:]))
