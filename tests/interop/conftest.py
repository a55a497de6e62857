"""The original beside us, on one real server."""

import itertools
import os

import pytest

from peerage.testing.zookeeper import ZooKeeperServer

_numbers = itertools.count()


@pytest.fixture
def path() -> str:
    """A path for this test alone, without the first slash."""
    return f"interop-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def url(zookeeper: ZooKeeperServer, path: str) -> str:
    """The registry that both use."""
    return f"zookeeper://{zookeeper.address}/{path}?session_timeout=3"
