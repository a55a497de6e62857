"""The program of the examples that calls a gRPC service."""

import asyncio
import importlib.util
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from peerage import Discovery, NotDiscoveredError
from peerage.testing import eventually

PROGRAM = Path(__file__).parents[2] / "examples" / "grpc_client.py"


@pytest.fixture
def following():
    spec = importlib.util.spec_from_file_location("grpc_client", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.following


class Server:
    """An instance of ``orders``, which answers with its name."""

    def __init__(self, discovery, server):
        self._discovery = discovery
        self._server = server

    async def stop(self):
        """Stop it as a service does that nobody is to notice."""
        await self._discovery.drain(lame_duck=0.5)
        await self._server.stop(5)


@asynccontextmanager
async def serving(url, name):
    async def answer(_request, _context):
        await asyncio.sleep(0.01)
        return name.encode()

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop.Orders", {"List": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Discovery(url, service_id="orders", instance_id=name) as discovery:
        await discovery.advertise(web=[("127.0.0.1", port)])
        yield Server(discovery, server)
    await server.stop(0)


async def test_the_channel_leads_to_the_instances_there_are(following, monkeypatch):
    monkeypatch.setenv("ASAB_HOSTNAME", "127.0.0.1")
    url = f"memory:{uuid4()}"
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(serving(url, "first"))
        await stack.enter_async_context(serving(url, "second"))
        discovery = await stack.enter_async_context(Discovery(url))
        await eventually(lambda: len(discovery.directory.find()) == 2)
        orders = await stack.enter_async_context(following(discovery, "orders"))
        answered: Counter[bytes] = Counter()

        async def call(number=1):
            for _ in range(number):
                method = orders.channel.unary_unary("/shop.Orders/List")
                answered[await method(b"", timeout=5, wait_for_ready=True)] += 1

        async def answers(name):
            await eventually(call, name, wanted=lambda _: answered[name.encode()])

        await answers("first")
        await answers("second")
        async with asyncio.TaskGroup() as group:
            group.create_task(first.stop())
            for _ in range(5):
                group.create_task(call(60))
        await eventually(lambda: len(orders.urls) == 1)
        answered.clear()
        await call(10)
        assert set(answered) == {b"second"}
        await stack.enter_async_context(serving(url, "third"))
        await answers("third")


async def test_no_instance_is_known(following):
    async with Discovery(f"memory:{uuid4()}") as discovery, following(discovery, "orders") as orders:
        with pytest.raises(NotDiscoveredError, match="orders"):
            _ = orders.channel
