"""Programs that simulated hosts run."""

import asyncio

from aiohttp import web

from peerage.web.running import serve_app


def serving(service="orders", *, port=8080, handler=None, **advert_of):
    """Return a program that serves and answers with the name of its host and how often that was started."""

    async def answer(request):
        return web.json_response([host_of(request), request.app[STARTS]])

    async def program(host):
        app = web.Application()
        app[HOST], app[STARTS] = host.name, host.starts
        app.router.add_route("*", "/", handler or answer)
        discovery = host.discovery(service_id=service, instance_id=host.name, **advert_of)
        await serve_app(app, discovery, host=host.ip, port=port, access_log=None)

    return program


def calling(into, service="orders", *, method="GET", pause=0.1, seconds=5.0, **options):
    """Return a program that calls again and again, and appends to *into* (time, answer or error)."""

    async def program(host):
        loop = asyncio.get_running_loop()
        discovery = host.discovery(service_id="shop", instance_id=host.name)
        async with discovery, discovery.session(**options) as session:
            while True:
                try:
                    async with (
                        asyncio.timeout(seconds),
                        session.request(method, f"http://{service}.service_id.asab/") as response,
                    ):
                        into.append((loop.time(), await response.json()))
                except Exception as error:  # noqa: BLE001 - tests compare it
                    into.append((loop.time(), error))
                await asyncio.sleep(pause)

    return program


HOST = web.AppKey("host", str)
STARTS = web.AppKey("starts", int)


def host_of(request):
    return request.app[HOST]


def errors(calls):
    return [(when, found) for when, found in calls if isinstance(found, BaseException)]
