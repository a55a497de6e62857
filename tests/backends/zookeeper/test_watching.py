"""Watching while the connection is replaced or the server is busy."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

from kazoo.client import KazooClient
from kazoo.exceptions import ThrottledOpError
from kazoo.security import make_digest_acl
from tests.backends.zookeeper.support import bare_client, folder_of, sent, times_put_off, warnings_in

from peerage import open_registry
from peerage.backends.zookeeper import folder as folder_module
from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.notes import Connected, Request
from peerage.backends.zookeeper.pauses import Pauses
from peerage.backends.zookeeper.registry import ZooKeeperRegistry
from peerage.registry import RECORD_LIMIT, Snapshot, Stale
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.waiting import PATIENCE


def replace_connection(connection: Connection) -> None:
    """Block the event loop until an answer, the loss and the next connection are reported."""
    deadline = time.monotonic() + PATIENCE
    for kind, act in ((Request, connection.client.dialer.hang_up), (Connected, lambda: None)):
        while not any(isinstance(note, kind) for note in tuple(connection._notes)):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        act()


async def made(client: KazooClient, folder: str, count: int) -> None:
    """Create *count* records with one request, repeated as long as the server throttles it."""
    while True:
        with suppress(ThrottledOpError):
            await asyncio.to_thread(client.ensure_path, folder)
            transaction = client.transaction()
            for number in range(count):
                transaction.create(f"{folder}/App.{number}", b"%d" % number)
            await asyncio.to_thread(transaction.commit)
            return


def kinds(view: View) -> list[type]:
    return [type(event) for event in view.events]


async def test_a_connection_replaced_while_it_is_read(url):
    """What was read belongs to the lost connection: stale until it is read over the next one."""
    async with closing(open_registry(url)) as (here,), View(here) as view:
        await view.until(lambda: view.ready)
        # A new watcher needs a reading.
        async with View(here) as newcomer:
            await sent(here)
            replace_connection(here.connection)
            await newcomer.until(lambda: len(newcomer.events) > 2)
            assert kinds(newcomer) == [Snapshot, Stale, Snapshot]
            assert newcomer.stale is None
        assert kinds(view) == [Snapshot, Stale, Snapshot]


async def test_a_connection_replaced_before_it_is_read(through, proxy):
    """During the pause before reading: it is read once, over the last connection."""
    pauses = []

    def pause(_: int) -> float:
        pauses.append(registry.connection.up)
        return PATIENCE if len(pauses) == 1 else 0.0

    registry = ZooKeeperRegistry(parse(through), None, Pauses(resync=pause))
    async with closing(registry) as (here,), View(here) as view:
        await registered(here, "App", b"{}")
        await view.until_data([b"{}"])
        proxy.cut()
        await eventually(lambda: pauses)
        assert view.stale
        proxy.cut()
        await view.until(lambda: view.stale is None)
        assert kinds(view).count(Snapshot) == 2
        assert len(set(pauses)) == len(pauses) == 2


async def test_throttled_reads_are_sent_again(busy_server):
    """Of many new watchers all end with the right records, and in touch."""
    url = f"zookeeper://{busy_server.address}/watched"
    async with bare_client(busy_server.address) as client:
        await made(client, folder_of(url), 300)
    before = times_put_off(busy_server)
    # Whether the server throttles a request is random, so repeat until it does.
    while times_put_off(busy_server) == before:
        async with closing(*(open_registry(url) for _ in range(10))) as registries, AsyncExitStack() as stack:
            views = [await stack.enter_async_context(View(registry)) for registry in registries]
            for view in views:
                await view.until_data([b"%d" % number for number in range(300)])
                await view.until(lambda view=view: view.stale is None)


async def test_a_new_watcher_in_an_outage_gets_the_outage_as_reason(url, through, proxy, server):
    """Also if there was another reason before."""
    folder = folder_of(url)
    async with bare_client(server.address) as client, closing(open_registry(through)) as (here,):
        await asyncio.to_thread(client.ensure_path, folder)
        await asyncio.to_thread(client.set_acls, folder, [make_digest_acl("other", "x", all=True)])
        async with View(here) as view:
            await view.until(lambda: view.stale)
            assert folder in view.stale
            await proxy.refuse()
            await view.until(lambda: folder not in view.stale)
            async with View(here) as newcomer:
                await newcomer.until(lambda: newcomer.stale)
                assert folder not in newcomer.stale


async def test_an_unexpected_error_is_logged_once(url, monkeypatch, caplog):
    """It is retried without end, with one traceback, and works once the error is gone."""
    monkeypatch.setattr(folder_module, "_RETRY", 0.02)
    tried = 0
    synchronise = folder_module.Folder._synchronise

    async def fail(folder) -> None:
        nonlocal tried
        tried += 1
        if tried <= 4:
            raise ValueError("never seen")
        await synchronise(folder)

    monkeypatch.setattr(folder_module.Folder, "_synchronise", fail)
    async with closing(open_registry(url)) as (registry,), View(registry) as view:
        await view.until(lambda: view.ready)
    (reason,) = [event.reason for event in view.events if isinstance(event, Stale)]
    assert "ValueError: never seen" in reason
    assert len(warnings_in(caplog)) == 1
    assert caplog.records[-1].exc_info


async def test_a_warning_is_repeated_for_a_new_node_of_the_same_name(url, through, proxy, server, caplog):
    """When the first node vanished in an outage."""
    path = f"{folder_of(url)}/Large.0000000001"
    large = b"x" * (RECORD_LIMIT + 1)
    async with (
        bare_client(server.address) as client,
        closing(open_registry(through)) as (here,),
        View(here) as view,
    ):
        await asyncio.to_thread(client.create, path, large, makepath=True)
        await registered(here, "Marker", b"1")
        await view.until_data([b"1"])
        await proxy.refuse()
        await view.until(lambda: view.stale)
        await asyncio.to_thread(client.delete, path)
        await proxy.heal()
        await view.until(lambda: view.stale is None)
        assert not here._folder._warned
        await asyncio.to_thread(client.create, path, large)
        await eventually(lambda: here._folder._warned)
    assert len([line for line in warnings_in(caplog) if "Large.0000000001" in line]) == 2
