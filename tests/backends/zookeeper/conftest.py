"""A real server for the tests of this folder, a path of its own for each."""

import itertools

import pytest

from peerage.testing.zookeeper.harness import shared_server

_numbers = itertools.count()


@pytest.fixture
def server() -> object:
    """The server that tests share which don't harm it."""
    return shared_server()


@pytest.fixture
def url(server) -> str:
    """The URL of a registry of this test's own on the shared server."""
    return f"zookeeper://{server.address}/own-{next(_numbers)}?session_timeout=3"
