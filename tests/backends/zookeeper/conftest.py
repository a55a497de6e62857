"""A real server for the tests of this folder, a path of its own for each."""

import itertools
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.backends.zookeeper.support import entered, folder_of

from peerage.testing.zookeeper import Proxy, ZooKeeperServer

_numbers = itertools.count()


@pytest.fixture
def server(zookeeper: ZooKeeperServer) -> ZooKeeperServer:
    """The shared server, by a shorter name."""
    return zookeeper


@pytest.fixture(scope="session")
def busy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    """A server that does one thing at a time, and puts off what has waited for a millisecond."""
    options = ["-Dzookeeper.request_throttle_max_requests=1", "-Dzookeeper.throttled_op_wait_time=1"]
    with ZooKeeperServer(tmp_path_factory.mktemp("busy"), jvm=options) as server:
        yield server


@pytest.fixture
def session_timeout() -> int:
    """Seconds until a silent process is taken for dead."""
    return 3


@pytest.fixture
def url(server: ZooKeeperServer, session_timeout: int) -> str:
    """The URL of a registry of this test's own on the shared server."""
    return f"zookeeper://{server.address}/own-{next(_numbers)}?session_timeout={session_timeout}"


@pytest.fixture
def guarded(url: str) -> str:
    """The same registry, entered with credentials."""
    return entered(url)


@pytest.fixture
def secret(url: str) -> str:
    """Path of a secret within the registry's path, in a folder of its own."""
    return f"{folder_of(url).rpartition('/')[0]}/auth/key"


@pytest.fixture
def loud(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything is logged, by kazoo and asyncio as well."""
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
    """The same registry as *url*, by way of the proxy."""
    return url.replace(server.address, proxy.address)
