"""A service in a container: SERVICE_ID and PEERAGE_REGISTRY are in its environment."""

import os

from aiohttp import web

from peerage import Discovery
from peerage.web import run_app


async def orders(_request):
    return web.json_response(["tea", "biscuits"])


async def health(_request):
    return web.Response(text="well\n")


app = web.Application()
app.add_routes([web.get("/v1/orders", orders), web.get("/health", health)])
run_app(app, Discovery(), port=int(os.environ.get("PORT", "8080")))
