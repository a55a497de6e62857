"""The pytest plugin: fixtures for tests of services; pytest loads it in every project that has peerage.

So it imports nothing but pytest before a fixture is used. A project's own fixture of the same name is used
instead of one of these, and none of these needs another one by its public name.
"""

from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peerage.testing.clock import VirtualClock
    from peerage.testing.isolated import IsolatedRegistry
    from peerage.testing.peers import Peers


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, so that ``--strict-markers`` knows it."""
    config.addinivalue_line(
        "markers",
        'peerage_registry("embedded"): the registry of the test has files, so that child processes see it',
    )


@pytest.fixture
def _peerage_registry(request: pytest.FixtureRequest) -> "Iterator[IsolatedRegistry]":
    from peerage.testing.isolated import IsolatedRegistry  # noqa: PLC0415 - only tests that use it need it

    marker = request.node.get_closest_marker("peerage_registry")
    if marker is None:
        registry = IsolatedRegistry()
    elif marker.args == ("embedded",) and not marker.kwargs:
        registry = IsolatedRegistry(f"embedded://{request.getfixturevalue('tmp_path')}/registry")
    else:
        raise pytest.UsageError('Write @pytest.mark.peerage_registry("embedded"), or leave it out.')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEERAGE_REGISTRY", registry.url)
        yield registry
    registry.close()


@pytest.fixture
def registry(_peerage_registry: "IsolatedRegistry") -> "IsolatedRegistry":
    """A registry that only this test uses, ``PEERAGE_REGISTRY`` of the code under test, and its faults."""
    return _peerage_registry


@pytest.fixture
def peers(_peerage_registry: "IsolatedRegistry") -> "Iterator[Peers]":
    """Fake peers in the registry of this test: ``peers.add("orders", handler)``."""
    from peerage.testing.peers import Peers  # noqa: PLC0415 - loads aiohttp

    peers = Peers(_peerage_registry)
    yield peers
    peers.close()


@pytest.fixture
def virtual_clock() -> "Iterator[VirtualClock]":
    """Let ``asyncio.sleep()``, deadlines and time-outs pass at once."""
    from peerage.testing.clock import VirtualClock  # noqa: PLC0415 - loads asyncio
    from peerage.testing.loopthread import LoopThread  # noqa: PLC0415 - likewise

    with VirtualClock() as clock:
        for thread in tuple(LoopThread.running):
            thread.call(partial(clock.follow, thread.loop))
        yield clock
