"""Services on one registry that call each other."""

from aiohttp import web

from peerage import Discovery
from peerage.testing import eventually


class Services:
    """Services on one registry, each with its own Discovery.

    Args:
        url: of the registry.
        stack: closes them.
        options: of each Discovery.
    """

    def __init__(self, url, stack, **options):
        self.url = url
        self.stack = stack
        self.options = options

    async def discovery(self, name):
        names = {"service_id": name, "instance_id": f"{name}-1"}
        return await self.stack.enter_async_context(Discovery(self.url, **names, **self.options))

    async def serve(self, discovery, app, *, tls=None, **advert):
        """Serve *app* on loopback, advertise it, and return its port."""
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        await discovery.advertise(web=[("127.0.0.1", port)], scheme="https" if tls else "http", **advert)
        return port

    async def start(self, name, make=None, **kwargs):
        """Advertise a service; it serves the application ``make(discovery)`` if there is one."""
        discovery = await self.discovery(name)
        if make is None:
            await discovery.advertise(**kwargs)
        else:
            await self.serve(discovery, make(discovery), **kwargs)
        return discovery

    async def see(self, discovery, *names):
        """Wait until *discovery* knows all of them, and return it."""
        await eventually(
            lambda: all(discovery.directory.find((("instance_id", f"{name}-1"),)) for name in names)
        )
        return discovery
