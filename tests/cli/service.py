"""A real service for the tests: it serves on a free loopback port, advertised until stdin is closed.

If there are arguments, it advertises these records instead. At the line ``drain`` on stdin it drains.
"""

import asyncio
import os
import sys

from aiohttp import web

from peerage import Discovery, open_registry


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {"method": request.method, "headers": dict(request.headers), "body": body.decode()},
        status=int(request.query.get("status", "200")),
        headers={"X-By": os.environ["INSTANCE_ID"], "Location": "/elsewhere"},
    )


async def big(request: web.Request) -> web.Response:
    return web.Response(body=bytes(range(256)) * 4096)


async def never(request: web.Request) -> web.Response:
    say("asked")
    await asyncio.Event().wait()
    raise AssertionError


async def lines_of_stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def serve() -> None:
    app = web.Application()
    app.add_routes([web.get("/never", never), web.get("/big", big), web.route("*", "/echo", echo)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Discovery() as discovery:
        port = runner.addresses[0][1]
        registration = await discovery.advertise(
            web=[("127.0.0.1", port)], ids={"shard": [1, 2]}, appclass="Shop"
        )
        say(f"http://127.0.0.1:{port}")
        stdin = await lines_of_stdin()
        if await stdin.readline():
            draining = asyncio.create_task(registration.drain(60))
            await stdin.readline()
            draining.cancel()
    await runner.cleanup()


async def advertise(records: list[str]) -> None:
    registry = open_registry(os.environ.get("PEERAGE_REGISTRY", "embedded:"))
    for record in records:
        await registry.advertise("Stranger", record.encode()).registered()
    say("ready")
    await (await lines_of_stdin()).read()
    await registry.aclose()


asyncio.run(advertise(sys.argv[1:]) if sys.argv[1:] else serve())
