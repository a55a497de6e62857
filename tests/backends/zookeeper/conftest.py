"""A real server for the tests of this folder, and another path for each test."""

import itertools
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.backends.zookeeper.support import folder_of, with_credentials

from peerage.testing.zookeeper import Proxy, ZooKeeperServer

_numbers = itertools.count()


@pytest.fixture
def server(zookeeper: ZooKeeperServer) -> ZooKeeperServer:
    """The shared server."""
    return zookeeper


@pytest.fixture(scope="session")
def busy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    """A server that processes one request at a time and throttles those that waited for 1 ms."""
    options = ["-Dzookeeper.request_throttle_max_requests=1", "-Dzookeeper.throttled_op_wait_time=1"]
    with ZooKeeperServer(tmp_path_factory.mktemp("busy"), jvm=options) as server:
        yield server


@pytest.fixture
def session_timeout() -> int:
    """Seconds until the server considers a silent process dead."""
    return 3


@pytest.fixture
def url(server: ZooKeeperServer, session_timeout: int) -> str:
    """The URL of a registry that only this test uses."""
    return f"zookeeper://{server.address}/own-{next(_numbers)}?session_timeout={session_timeout}"


@pytest.fixture
def guarded(url: str) -> str:
    """The URL of the same registry, with credentials."""
    return with_credentials(url)


@pytest.fixture
def secret(url: str) -> str:
    """The path of a secret in a separate folder below the registry's path."""
    return f"{folder_of(url).rpartition('/')[0]}/auth/key"


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Log everything, of kazoo and asyncio as well."""
    for name in ("", "kazoo", "kazoo.client", "asyncio", "peerage"):
        caplog.set_level(logging.DEBUG, name or None)
    return caplog


@pytest.fixture
async def proxy(server: ZooKeeperServer) -> AsyncIterator[Proxy]:
    """In front of the shared server."""
    async with Proxy(server.address) as proxy:
        yield proxy


@pytest.fixture
def through(url: str, server: ZooKeeperServer, proxy: Proxy) -> str:
    """The URL of the same registry, through the proxy."""
    return url.replace(server.address, proxy.address)
