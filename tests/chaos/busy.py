"""A server program that works on few requests at the same time, and lets others wait: an aiohttp server.

Its arguments are the port, 0 for any; how many requests it works on; how many seconds each takes; and the
words ``refusing``, if it limits its concurrency, and ``cancelling``, if it ends a request of which the caller
has gone. It answers each line that it reads with the number of requests that it has served.
"""

import asyncio
import json
import sys

from aiohttp import web

from peerage.web import limit_concurrency


def answer(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


async def main(port: str, workers: str, seconds: str, *words: str) -> None:
    free, served = asyncio.Semaphore(int(workers)), 0

    async def work(_request: web.Request) -> web.Response:
        nonlocal served
        async with free:
            await asyncio.sleep(float(seconds))
        served += 1
        return web.Response()

    app = web.Application(middlewares=[limit_concurrency()] if "refusing" in words else [])
    app.router.add_route("*", "/", work)
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=0.1, handler_cancellation="cancelling" in words
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port), backlog=1000).start()
    answer(runner.addresses[0][1])
    while await asyncio.to_thread(sys.stdin.readline):
        answer(served)
    await runner.cleanup()


asyncio.run(main(*sys.argv[1:]))
