"""Handlers of a server behind the middleware, marked in all ways."""

from aiohttp import web

from peerage.errors import AccessDeniedError
from peerage.web import PRINCIPAL, caller, noauth, require, require_superuser


async def plain(request):
    return web.json_response({"who": caller().subject, "same": request[PRINCIPAL] is caller()})


async def plain_text(_):
    return web.Response(text="plain")


@noauth
async def health(_):
    return web.Response(text="alive")


@noauth
async def curious(_):
    return web.json_response({"who": caller().subject})


@require("a:read")
async def reads(_):
    return web.Response(text="read")


@require("a:write", "a:read")
async def writes(_):
    return web.Response(text="written")


@require_superuser
async def rules(_):
    return web.Response(text="ruled")


@noauth
@require("a:read")
async def contradicts(_):
    return web.Response(text="?")


@require("a:read")
@noauth
async def contradicts_otherwise(_):
    return web.Response(text="?")


class View(web.View):
    async def get(self):
        return web.Response(text="get")

    @noauth
    async def options(self):
        return web.Response(text="options")

    @require_superuser
    async def put(self):
        return web.Response(text="put")


@noauth
class Open(web.View):
    async def get(self):
        return web.Response(text="open")


class Heir(Open):
    async def get(self):
        return web.Response(text="heir")


class Replacing(View):
    async def options(self):
        return web.Response(text="replaced")


class Methods:
    @noauth
    async def free(self, _):
        return web.Response(text="free")

    async def bound(self, _):
        return web.Response(text="bound")


async def with_argument(_argument, _request):
    return web.Response(text="argument")


@noauth
async def free_argument(_argument, _request):
    return web.Response(text="argument")


async def fallback(request, handler):
    """What applications of one page have: paths that don't exist are answered with the page."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(text="the page")


async def echo(request):
    socket = web.WebSocketResponse(protocols=("chat",))
    await socket.prepare(request)
    await socket.send_json({"who": caller().subject, "saw": request.headers.get("Sec-WebSocket-Protocol")})
    async for message in socket:
        if message.data == "misbehave":
            raise AccessDeniedError("no")
        await socket.send_str(message.data)
    return socket
