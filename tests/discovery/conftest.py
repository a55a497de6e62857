"""Discoveries on ``memory:``, which need nothing from outside."""

import itertools

import pytest

from peerage import Discovery, Identity, open_registry
from peerage.testing import eventually

NUMBERS = itertools.count()


@pytest.fixture
def url():
    """A registry that only this test uses."""
    return f"memory:discovery-{next(NUMBERS)}"


@pytest.fixture
async def registry(url):
    """The registry of the Discovery under test, which the test can put out of reach."""
    registry = open_registry(url)
    yield registry
    await registry.aclose()


@pytest.fixture
async def discovery(registry):
    """The Discovery under test."""
    identity = Identity(host="node-1", service_id="orders", instance_id="1")
    async with Discovery(registry, identity=identity) as one:
        yield one


@pytest.fixture
async def observer(url):
    """A Discovery of another process."""
    async with Discovery(url) as other:
        await other.ready()
        yield other


@pytest.fixture
def seen():
    """Wait until the instances that a Discovery knows are as wanted, and return them."""

    async def wait(discovery, wanted=bool):
        return await eventually(discovery.directory.find, "the instances", wanted=wanted)

    return wait
