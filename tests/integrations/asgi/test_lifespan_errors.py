"""What a server hears when the lifespan of an application fails."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette

from peerage.integrations.asgi import discovered


@asynccontextmanager
async def startup_fails(app):
    raise RuntimeError("no database")
    yield


@asynccontextmanager
async def shutdown_fails(app):
    yield
    raise RuntimeError("no disk")


@asynccontextmanager
async def works(app):
    yield


@pytest.mark.parametrize(
    ("lifespan", "expected", "error"),
    [
        (startup_fails, ["lifespan.startup.failed"], "no database"),
        (shutdown_fails, ["lifespan.startup.complete", "lifespan.shutdown.failed"], "no disk"),
        (works, ["lifespan.startup.complete", "lifespan.shutdown.complete"], None),
    ],
)
async def test_the_server_hears_of_the_end_when_nothing_is_left_to_do(tmp_path, lifespan, expected, error):
    """Hypercorn cancels the lifespan at once then, and serves an application that isn't done with failing."""
    before = asyncio.all_tasks()
    sent = []

    async def send(message):
        sent.append(message["type"])
        if not message["type"].endswith("startup.complete"):
            assert asyncio.all_tasks() == before

    async def receive():
        return {"type": "lifespan.shutdown" if sent else "lifespan.startup"}

    app = discovered(Starlette(lifespan=lifespan), registry=f"embedded://{tmp_path}/registry", service_id="x")
    if error is None:
        await app({"type": "lifespan"}, receive, send)
    else:
        with pytest.raises(RuntimeError, match=error):
            await app({"type": "lifespan"}, receive, send)
    assert sent == expected
