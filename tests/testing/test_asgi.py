"""The lifespan of an ASGI application in tests."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from peerage.testing import lifespan


async def show(request):
    return JSONResponse(request.state.tea)


async def test_an_application_is_started_and_shut_down():
    """Each request has the state of the lifespan."""
    events = []

    @asynccontextmanager
    async def live(_):
        events.append("startup")
        yield {"tea": "green"}
        events.append("shutdown")

    async with lifespan(Starlette(routes=[Route("/", show)], lifespan=live)) as started:
        assert events == ["startup"]
        transport = httpx.ASGITransport(started)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            assert (await client.get("/")).json() == "green"
    assert events == ["startup", "shutdown"]


async def test_it_is_shut_down_after_a_test_that_failed():
    events = []

    @asynccontextmanager
    async def live(_):
        yield
        events.append("shutdown")

    with pytest.raises(ZeroDivisionError):
        async with lifespan(Starlette(lifespan=live)):
            raise ZeroDivisionError
    assert events == ["shutdown"]


async def test_a_startup_that_fails_is_an_error():
    """With the message of the application."""

    async def app(_scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no tea"})

    with pytest.raises(RuntimeError, match="no tea"):
        async with lifespan(app):
            pass


async def test_an_application_that_raises_or_ends_is_an_error():
    async def without_lifespan(scope, _receive, _send):
        assert scope["type"] == "http"

    with pytest.raises(AssertionError, match="http"):
        async with lifespan(without_lifespan):
            pass

    async def silent(_scope, _receive, _send):
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match=r"without an answer to lifespan\.startup"):
        async with lifespan(silent):
            pass
