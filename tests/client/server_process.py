"""A server to be killed: prints its port, answers every request with its process id."""

import asyncio
import os
import sys

from aiohttp import web


async def answer(request):
    return web.Response(text=str(os.getpid()))


async def main():
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


asyncio.run(main())
