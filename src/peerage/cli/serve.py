"""``peerage serve``: the page, the API and Prometheus' targets, until Ctrl-C."""

import asyncio
import ipaddress
import sys

from aiohttp import web

from peerage.cli.run import CommandError, Exit, show_outages
from peerage.discovery import Discovery
from peerage.serve import View, create_app


async def serve(registry: str | None, http: str, host_names: list[str]) -> int:
    """Serve until cancelled.

    Args:
        registry: URL of the registry.
        http: ``address:port`` to listen on.
        host_names: names of this server besides loopback.
    """
    host, port = _read_address(http)
    show_outages()
    async with Discovery(registry) as discovery, View(discovery.membership) as view:
        runner = web.AppRunner(create_app(view, host_names=host_names), shutdown_timeout=1.0, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            address = runner.addresses[0]
            sys.stdout.write(f"The page is at http://{host}:{address[1]}/ Ctrl-C ends\n")
            sys.stdout.flush()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()
    return Exit.OK


def _read_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal():
        raise CommandError(f"{text!r} is no address: write address:port, e.g. 127.0.0.1:8600", Exit.USAGE)
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise CommandError(f"{host} isn't a loopback address.", Exit.USAGE)
    return host, int(port)
