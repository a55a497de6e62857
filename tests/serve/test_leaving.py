"""Clients that leave, as a browser does whose page is closed."""

import json
import logging
from uuid import uuid4

import aiohttp
from aiohttp import web

from peerage import Discovery
from peerage.registry import open_registry
from peerage.serve import View, create_app
from peerage.testing import eventually


async def test_a_client_that_leaves_is_no_error(caplog):
    """It is noticed when the next event is sent, and isn't logged."""
    caplog.set_level(logging.WARNING)
    registry = open_registry(f"memory:{uuid4().hex}")
    ended = []

    @web.middleware
    async def note(request, handler):
        try:
            return await handler(request)
        finally:
            ended.append(request.path)

    async with Discovery(registry.url) as discovery, View(discovery.membership) as view:
        app = create_app(view)
        app.middlewares.append(note)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/v1/changes", timeout=aiohttp.ClientTimeout()) as answer,
        ):
            await answer.content.readuntil(b"event: reset")
        number = 0
        while not ended:
            number += 1
            advertisement = registry.advertise("A", json.dumps({"instance_id": f"a-{number}"}).encode())
            await advertisement.registered()
            await eventually(lambda: len(view.rows()) >= number)  # noqa: B023 - awaited at once
        await runner.cleanup()
    await registry.aclose()
    assert ended == ["/v1/changes"]
    assert [record.getMessage() for record in caplog.records] == []
