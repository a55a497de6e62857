"""A real server for the tests of this folder, a path of its own for each."""

import itertools
from collections.abc import AsyncIterator

import pytest

from peerage.testing.zookeeper import Proxy, ZooKeeperServer

_numbers = itertools.count()


@pytest.fixture
def server(zookeeper: ZooKeeperServer) -> ZooKeeperServer:
    """The shared server, by a shorter name."""
    return zookeeper


@pytest.fixture
def url(server: ZooKeeperServer) -> str:
    """The URL of a registry of this test's own on the shared server."""
    return f"zookeeper://{server.address}/own-{next(_numbers)}?session_timeout=3"


@pytest.fixture
async def proxy(server: ZooKeeperServer) -> AsyncIterator[Proxy]:
    """In front of the shared server."""
    proxy = Proxy(server.address)
    await proxy.start()
    yield proxy
    await proxy.aclose()


@pytest.fixture
def through(url: str, server: ZooKeeperServer, proxy: Proxy) -> str:
    """The same registry as *url*, by way of the proxy."""
    return url.replace(server.address, proxy.address)
