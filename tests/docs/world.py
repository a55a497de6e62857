"""What the fragments of the documentation take for granted: a registry, peers that answer, and names."""

import asyncio
import contextvars
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import peerage
from peerage import Discovery
from peerage.testing import Peers
from peerage.web import GracefulStop

#: The services that pages call, each with the instances that it has.
PEERS = {"orders": 2, "models": 2, "billing": 1, "pricing": 1, "seacat-auth": 1}


@asynccontextmanager
async def world(monkeypatch: pytest.MonkeyPatch, folder: Path, peers: Peers) -> AsyncIterator[dict[str, Any]]:
    """Yield the names that a fragment of the service ``shop`` may use; its peers are running."""
    (folder / "service.py").write_text("print('ready', flush=True)\ninput()\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SERVICE_ID", "shop")
    monkeypatch.setenv("INSTANCE_ID", "shop-1")
    async with AsyncExitStack() as stack:
        for service, count in PEERS.items():
            for _ in range(count):
                peers.add(service, _answer, ids={"shard": [1]})
        discovery = await stack.enter_async_context(Discovery())
        app = web.Application()
        graceful = GracefulStop(app)
        runner = web.AppRunner(app)
        stack.push_async_callback(runner.cleanup)
        yield {
            "__name__": "documentation",
            **{name: getattr(peerage, name) for name in peerage.__all__},
            "aiohttp": aiohttp,
            "asyncio": asyncio,
            "contextvars": contextvars,
            "peerage": peerage,
            "uuid": uuid,
            "web": web,
            "app": app,
            "discovery": discovery,
            "environ": {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            "graceful": graceful,
            "port": 8080,
            "prompt": {"prompt": "Which tea?"},
            "runner": runner,
            "session": await stack.enter_async_context(discovery.session()),
            "tmp_path": folder,
            "url": "http://orders.service_id.asab/v1/orders",
        }


def _answer(request: web.Request) -> Any:
    return {"keys": []} if "jwks" in request.path else ["tea", "biscuits"]
