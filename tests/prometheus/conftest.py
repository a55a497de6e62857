"""A served view of a ``memory:`` registry, and what it answers."""

import itertools
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from peerage import Discovery, open_registry
from peerage.serve import View, create_app

NUMBERS = itertools.count()


@asynccontextmanager
async def served(app):
    """Serve *app* on loopback, and yield a session for it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session
    finally:
        await runner.cleanup()


@pytest.fixture
async def registry():
    """The registry of the Discovery that is shown, which the test can put out of reach."""
    registry = open_registry(f"memory:prometheus-{next(NUMBERS)}")
    yield registry
    await registry.aclose()


@pytest.fixture
async def discovery(registry):
    """What is shown."""
    async with Discovery(registry, service_id="orders", instance_id="orders-1") as discovery:
        yield discovery


@pytest.fixture
async def client(discovery):
    """A session of aiohttp for the page, the API and what Prometheus asks for."""
    async with View(discovery.membership) as view, served(create_app(view)) as session:
        yield session
