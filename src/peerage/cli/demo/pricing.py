"""A pricing service: serves prices on a free port and advertises itself."""

import os
import time
from zlib import crc32

from aiohttp import web

from peerage.cli.demo.role import report, run_role, until_dismissed
from peerage.discovery import Discovery

_LOOPBACK = "127.0.0.1"


async def _price(request: web.Request) -> web.Response:
    item = request.match_info["item"]
    cents = crc32(item.encode()) % 10_000
    return web.json_response({"item": item, "cents": cents, "by": os.environ["INSTANCE_ID"]})


async def main() -> None:
    """Serve until dismissed."""
    app = web.Application()
    app.router.add_get("/price/{item}", _price)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _LOOPBACK, 0)
        await site.start()
        port = runner.addresses[0][1]
        async with Discovery() as discovery:
            # SERVICE_ID and INSTANCE_ID are in the environment.
            await discovery.advertise(web=[(_LOOPBACK, port)], appclass="Pricing")
            report(ready=time.monotonic())
            await until_dismissed()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    run_role(main())
