"""A service in a container that calls another one by name."""

import os

from aiohttp import web

from peerage import CallOptions, Discovery
from peerage.web import run_app

discovery = Discovery(calls=CallOptions(deadline=5.0))


async def session(app):
    async with discovery.session() as app[SESSION]:
        yield


async def cart(request):
    async with request.app[SESSION].get("http://orders.service_id.asab/v1/orders") as response:
        return web.json_response({"cart": await response.json()})


async def health(_request):
    return web.Response(text="well\n")


SESSION = web.AppKey("session")
app = web.Application()
app.cleanup_ctx.append(session)
app.add_routes([web.get("/v1/cart", cart), web.get("/health", health)])
run_app(app, discovery, port=int(os.environ.get("PORT", "8080")))
