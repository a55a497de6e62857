"""What these tests share: a bare client for what no registry would write, and what users look for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from kazoo.client import KazooClient

from peerage import Discovery
from peerage.backends.zookeeper.connection import Connection
from peerage.directory import fold_criteria
from peerage.identity import Identity
from peerage.record import build_record
from peerage.registry import Registry, open_registry
from peerage.testing import View, eventually
from peerage.testing.suite import closing
from peerage.testing.zookeeper import Proxy


@asynccontextmanager
async def bare_client(address: str, **options: object) -> AsyncIterator[KazooClient]:
    """A plain kazoo client; its calls wait, so make them by way of asyncio.to_thread."""
    client = KazooClient(address, timeout=5, **options)
    await asyncio.to_thread(client.start)
    try:
        yield client
    finally:
        await asyncio.to_thread(client.stop)
        await asyncio.to_thread(client.close)


def folder_of(url: str) -> str:
    """The folder of records of a registry's URL."""
    return "/" + url.split("/", 3)[3].partition("?")[0] + "/run"


def someone(service: str, number: int = 0) -> Identity:
    return Identity(host="127.0.0.1", service_id=service, instance_id=f"{service}-{number}")


def record(service: str, number: int) -> bytes:
    return build_record(someone(service, number), web=[("0.0.0.0", 10_000 + number)])


def connection(registry: Registry) -> Connection:
    """What no user sees of a ZooKeeper registry."""
    return registry._connection


async def connected(registry: Registry) -> None:
    await eventually(lambda: connection(registry).up, "a connection")


async def cut_off(proxy: Proxy, registry: Registry) -> None:
    """Take the connection away until the proxy is healed."""
    await proxy.refuse()
    await eventually(lambda: connection(registry).up is None, "the end of the connection")


async def quiet(registry: Registry) -> None:
    """Wait until nothing is asked of the server any more: a record is looked at once it is registered."""
    await eventually(lambda: not connection(registry)._flying, "the answers to all requests")


async def truth(url: str) -> dict[str, bytes]:
    """What a newcomer is told."""
    async with closing(open_registry(url)) as (registry,), View(registry) as view:
        await view.until(lambda: view.ready)
        return dict(view.data)


async def agree(url: str, *views: View) -> dict[str, bytes]:
    """Wait until all of them know the truth, and return it."""
    true = await truth(url)
    for view in views:
        await view.until(lambda view=view: view.data == true and view.stale is None, f"{true!r}")
    return true


async def located(discovery: Discovery, service: str, count: int) -> None:
    """Wait until *count* instances can be called."""
    criteria = fold_criteria({"service_id": service})
    await eventually(lambda: len(discovery.directory.urls(criteria)) == count)
    assert len(await discovery.locate(service_id=service)) == count


@asynccontextmanager
async def never_empty(service: str, *discoveries: Discovery) -> AsyncIterator[None]:
    """Ask them all along: each time somebody is there."""

    async def ask() -> None:
        while True:
            for discovery in discoveries:
                assert await discovery.locate(service_id=service)
            await asyncio.sleep(0.002)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
