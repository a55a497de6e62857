"""Programs that simulated hosts run."""

import asyncio

from aiohttp import web

from peerage.web import authorize, serve_app


def serving(service="orders", *, port=8080, seconds=0.0, guarded=False):
    """Return a program whose answers are the name of its host and how often that was started.

    It needs an internal token if it is *guarded*.
    """

    async def answer(request):
        await asyncio.sleep(seconds)
        return web.json_response([request.app[HOST], request.app[STARTS]])

    async def program(host):
        discovery = host.discovery(service_id=service, instance_id=host.name)
        app = web.Application(middlewares=[authorize(discovery.auth.verifier())] if guarded else [])
        app[HOST], app[STARTS] = host.name, host.starts
        app.router.add_route("*", "/", answer)
        await serve_app(app, discovery, host=host.ip, port=port, access_log=None)

    return program


def calling(
    into, service="orders", *, method="GET", pause=0.1, seconds=5.0, together=1, auth=None, **options
):
    """Return a program that calls again and again, and appends to *into* (time, answer or error)."""

    async def program(host):
        loop = asyncio.get_running_loop()
        url = f"http://{service}.service_id.asab/"
        discovery = host.discovery(service_id="shop", instance_id=host.name, **options)

        async def call(session):
            while True:
                try:
                    async with asyncio.timeout(seconds), session.request(method, url) as response:
                        into.append((loop.time(), await response.json()))
                except Exception as error:  # noqa: BLE001 - tests compare it
                    into.append((loop.time(), error))
                await asyncio.sleep(pause)

        async with discovery, discovery.session(auth=auth) as session:
            await asyncio.gather(*(call(session) for _ in range(together)))

    return program


HOST = web.AppKey("host", str)
STARTS = web.AppKey("starts", int)


def errors(calls):
    return [(when, found) for when, found in calls if isinstance(found, BaseException)]
