"""Helpers of these tests: a bare client for what no registry writes, and what users observe."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import pytest
from kazoo.client import KazooClient

from peerage import Discovery
from peerage.backends.zookeeper.connection import Connection
from peerage.directory import fold_criteria
from peerage.records.advert import Advert
from peerage.records.build import build_record
from peerage.records.identity import Identity
from peerage.registry import Advertisement, Registry, Secrets, open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.waiting import PATIENCE
from peerage.testing.zookeeper import Proxy, ZooKeeperServer

T = TypeVar("T")

#: Passwords that must not appear in any text that a test looks at.
PASSWORD = "pass-7391-word"
OTHER = "pass-8402-word"

#: Seconds in which closing has to return: one, doubled for a loaded machine.
CLOSING = 2.0


@asynccontextmanager
async def bare_client(address: str, **options: object) -> AsyncIterator[KazooClient]:
    """A plain client of kazoo; its methods block, so call them by asyncio.to_thread."""
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


def times_put_off(server: ZooKeeperServer) -> int:
    """How many requests the server has throttled."""
    (line,) = [line for line in server.ask("mntr").splitlines() if line.startswith("zk_throttled_ops")]
    return int(line.split()[1])


def with_credentials(url: str, user: str = "user", password: str = PASSWORD) -> str:
    """The URL with credentials."""
    return url.replace("://", f"://{user}:{password}@")


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages logged at WARNING or above."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def everything_shown(error: BaseException) -> str:
    """Every text by which *error* could be shown."""
    texts = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None:
            texts += [str(one), repr(one), repr(vars(one)), *map(repr, one.args)]
            waiting += [one.__cause__, one.__context__]
    return "\n".join(texts)


def identity_of(service: str, number: int = 0) -> Identity:
    return Identity(host="127.0.0.1", service_id=service, instance_id=f"{service}-{number}")


def record(service: str, number: int) -> bytes:
    return build_record(Advert(identity=identity_of(service, number), port=10_000 + number))


def connection(registry: Registry) -> Connection:
    """The connection behind a ZooKeeper registry."""
    return registry.connection


async def sent(registry: Registry) -> None:
    """Return once another request is under way, before its answer can be handled."""
    under_way = connection(registry)._in_flight
    before = set(under_way)
    async with asyncio.timeout(PATIENCE):
        while under_way.keys() <= before:  # noqa: ASYNC110 - the connection has no event for it
            await asyncio.sleep(0)


async def connected(registry: Registry) -> None:
    await eventually(lambda: connection(registry).up, "a connection")


async def cut_off(proxy: Proxy, registry: Registry) -> None:
    """Refuse connections until the proxy is healed."""
    await proxy.refuse()
    await eventually(lambda: connection(registry).up is None, "the end of the connection")


async def quiet(registry: Registry) -> None:
    """Wait until no request is under way: a record is verified after its registration."""
    await eventually(lambda: not connection(registry)._in_flight, "the answers to all requests")


async def unanswered(registry: Registry, view: View, proxy: Proxy, name: str, data: bytes) -> Advertisement:
    """Register a record that *view* sees; from then on no answer comes through *proxy*."""
    owner = await registered(registry, name, data)
    await view.until_data([data])
    await quiet(registry)
    proxy.swallow_answers()
    return owner


async def obtained(secrets: Secrets, name: str) -> bytes:
    """The value of an existing secret, by obtain()."""
    return await secrets.obtain(name, lambda: b"another")


async def followed(secrets: Secrets, name: str) -> bytes:
    """The value of an existing secret, by follow()."""
    follower = aiter(secrets.follow(name))
    try:
        return await anext(follower)
    finally:
        await follower.aclose()


async def truth(url: str) -> dict[str, bytes]:
    """The records that a new watcher sees."""
    async with closing(open_registry(url)) as (registry,), View(registry) as view:
        await view.until(lambda: view.ready)
        return dict(view.data)


async def agree(url: str, *views: View) -> dict[str, bytes]:
    """Wait until all views show what a new watcher sees, and return it."""
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
    """Locate the service all the time; there is always an instance."""

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
