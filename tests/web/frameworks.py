"""The same handlers and middlewares in an aiohttp and in an ASGI application, for what both decide alike."""

import asyncio
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.integrations.asgi.serving import serving as serving_asgi

import peerage.integrations.asgi
import peerage.web

#: The names of both.
FRAMEWORKS = ("aiohttp", "asgi")


class Request(NamedTuple):
    """What a handler sees of a request."""

    method: str
    headers: Mapping[str, str]
    body: bytes


class RefusedError(Exception):
    """An answer with a status, raised by a handler."""

    def __init__(self, status):
        self.status = status


class _Answer(web.HTTPException):
    status_code = -1

    def __init__(self, status):
        self.status_code = status
        super().__init__()


class Hanging:
    """A handler that waits for ever; counts how often it was begun and cancelled."""

    def __init__(self):
        self.begun = self.cancelled = 0

    async def handle(self, _request):
        self.begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@asynccontextmanager
async def serving_aiohttp(app):
    """Serve an application of aiohttp on loopback; yields the URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving(framework, handlers, *middlewares):
    """Serve *handlers* on loopback; yields the URL.

    *handlers* are coroutine functions by path, which take a Request, and return a text or raise RefusedError.
    *middlewares* are the name and the arguments of each, the outermost first.
    """
    make = {"aiohttp": _serving_aiohttp, "asgi": _serving_starlette}[framework]
    async with make(handlers, middlewares) as url:
        yield url


@asynccontextmanager
async def _serving_aiohttp(handlers, middlewares):
    def adapted(handler):
        async def handle(request):
            try:
                found = Request(request.method, request.headers, await request.read())
                return web.Response(text=await handler(found))
            except RefusedError as refused:
                raise _Answer(refused.status) from None

        return handle

    installed = [getattr(peerage.web, name)(*arguments) for name, *arguments in middlewares]
    app = web.Application(middlewares=installed)
    for path, handler in handlers.items():
        app.router.add_route("*", path, adapted(handler))
    async with serving_aiohttp(app) as url:
        yield url


@asynccontextmanager
async def _serving_starlette(handlers, middlewares):
    def adapted(handler):
        async def handle(request):
            try:
                found = Request(request.method, request.headers, await request.body())
                text = await handler(found)
            except RefusedError as refused:
                raise HTTPException(refused.status) from None
            return PlainTextResponse(text)

        return handle

    methods = ["GET", "POST", "HEAD"]
    app = Starlette(routes=[Route(path, adapted(each), methods=methods) for path, each in handlers.items()])
    for name, *arguments in reversed(middlewares):
        app = getattr(peerage.integrations.asgi, name)(app, *arguments)
    async with serving_asgi(app) as url:
        yield url
