"""A server without recursive watches: older than 3.6, or with the optimized watch manager."""

import pytest

from peerage.registry import Stale, open_registry
from peerage.testing import View
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import Proxy, ZooKeeperServer


@pytest.fixture(scope="module")
def old_server(tmp_path_factory):
    """A server that can't set recursive watches."""
    manager = "org.apache.zookeeper.server.watch.WatchManagerOptimized"
    with ZooKeeperServer(
        tmp_path_factory.mktemp("old"), jvm=[f"-Dzookeeper.watchManagerName={manager}"]
    ) as server:
        yield server


async def test_it_is_refused_with_advice(old_server):
    """Watchers get a Stale that says what to do, after a reconnect as well; records are registered."""
    async with Proxy(old_server.address) as proxy:
        url = f"zookeeper://{proxy.address}/old?session_timeout=3"
        async with closing(open_registry(url)) as (registry,), View(registry) as view:
            await view.until(lambda: view.stale is not None and "run ZooKeeper 3.6 or newer" in view.stale)
            await registered(registry, "App", b"{}")
            health = await registry.inspect()
            assert health.state == "stale"
            assert "run ZooKeeper 3.6 or newer" in health.problem
            proxy.cut()
            await view.until(lambda: "run ZooKeeper" not in view.stale)
            await view.until(lambda: "run ZooKeeper" in view.stale)
            async with View(registry) as later:
                await later.until(lambda: later.stale is not None and "run ZooKeeper" in later.stale)
            assert all(isinstance(event, Stale) for event in view.events)
