"""A server without recursive watches: older than 3.6, or with the optimized watch manager."""

import asyncio
import logging

import pytest
from kazoo.security import make_digest_acl
from tests.backends.zookeeper.support import bare_client, warnings_in

from peerage import open_registry
from peerage.testing import View, eventually
from peerage.testing.zookeeper import ZooKeeperServer


@pytest.fixture(scope="module")
def old_server(tmp_path_factory):
    """A server that can't do recursive watches."""
    manager = "org.apache.zookeeper.server.watch.WatchManagerOptimized"
    with ZooKeeperServer(
        tmp_path_factory.mktemp("old"), jvm=[f"-Dzookeeper.watchManagerName={manager}"]
    ) as server:
        yield server


async def test_it_falls_back_once(old_server, caplog):
    """Everything is seen all the same, with one line about it, from a folder that isn't there at first."""
    url = f"zookeeper://{old_server.address}/old?session_timeout=3"
    here, there = open_registry(url), open_registry(url)
    caplog.set_level(logging.INFO, "peerage")
    async with View(there) as view:
        await view.until_data([])
        owners = [here.advertise("App", b"%d" % number) for number in range(30)]
        await view.until_data([b"%d" % number for number in range(30)])
        for number, owner in enumerate(owners):
            owner.update(b"x%d" % number)
        await view.until_data([b"x%d" % number for number in range(30)])
        for owner in owners[10:]:
            await owner.withdraw()
        await view.until_data([b"x%d" % number for number in range(10)])
        owners[0].update(b"again")
        async with View(there) as newcomer:
            await newcomer.until(lambda: b"again" in newcomer.data.values())
    await here.aclose()
    await there.aclose()
    said = [record.getMessage() for record in caplog.records if "recursive" in record.getMessage()]
    assert len(said) == 1


async def test_a_name_is_forgotten_with_its_node(old_server, caplog):
    """What was complained about and is gone isn't kept: another one of that name is news."""
    path, acl = "/forgotten/run/Closed.0000000001", [make_digest_acl("other", "x", all=True)]
    registry = open_registry(f"zookeeper://{old_server.address}/forgotten?session_timeout=3")
    async with bare_client(old_server.address) as client, View(registry) as view:
        await view.until_data([])
        await asyncio.to_thread(client.ensure_path, "/forgotten/run")
        for number in range(2):
            await asyncio.to_thread(client.create, path, b"1", acl)
            await eventually(lambda: registry._folder._reported)
            await asyncio.to_thread(client.delete, path)
            await eventually(lambda: not registry._folder._reported, f"forgotten {number}")
    await registry.aclose()
    assert len([line for line in warnings_in(caplog) if "Closed.0000000001" in line]) == 2
