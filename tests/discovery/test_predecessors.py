"""A service that is killed and started again at once: the record of the dead process isn't called."""

import itertools
import os
import signal
from contextlib import AsyncExitStack

import pytest

from peerage import Discovery
from peerage.backends.zookeeper.failures import NoAuth
from peerage.errors import RegistryDeniedError
from peerage.registry import Removal
from peerage.testing import eventually
from peerage.testing.children import STRICT, run
from peerage.testing.zookeeper.server import free_port

numbers = itertools.count()

SERVICE = """
import asyncio, sys
from peerage import Discovery

async def main(url, port, ids):
    async with Discovery(url, **ids) as discovery:
        await discovery.advertise(port=port)
        print("advertised", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), dict(each.split("=") for each in sys.argv[3:])))
"""


@pytest.fixture
def url(zookeeper):
    """A registry in which the record of a dead process stays for longer than a test lasts."""
    return f"zookeeper://{zookeeper.address}/predecessors-{next(numbers)}?session_timeout=60"


@pytest.fixture
async def start(url):
    """Start a process that advertises itself."""
    async with AsyncExitStack() as stack:

        async def start(port, *ids):
            child = await stack.enter_async_context(run(*STRICT, "-c", SERVICE, url, str(port), *ids))
            assert await child.line() == "advertised"
            return child

        yield start


@pytest.fixture
async def watcher(url):
    """A process that was there before."""
    async with Discovery(url) as watcher:
        yield watcher


def ports(discovery):
    return sorted(each.endpoints[0].port for each in discovery.directory.find())


@pytest.mark.parametrize("ids", [["service_id=orders", "instance_id=orders-1"], ["service_id=orders"]])
async def test_on_another_port(url, start, watcher, ids, caplog):
    """Its record is removed by the process that replaces it, with and without an instance id."""
    first, second = sorted((free_port(), free_port()))
    child = await start(first, *ids)
    await eventually(lambda: ports(watcher) == [first])
    child.signal(signal.SIGKILL)
    await child.wait()
    caplog.set_level("INFO", "peerage.predecessors")
    async with Discovery(url, **dict(each.split("=") for each in ids)) as successor:
        await successor.advertise(port=second)
        await eventually(lambda: ports(watcher) == [second])
        assert not any(each.suspect for each in watcher.directory)
        await eventually(lambda: "Removed the record" in caplog.text)


async def test_on_the_same_port_without_an_instance_id(url, start, watcher):
    """Otherwise it would get twice its share."""
    port = free_port()
    child = await start(port, "service_id=orders")
    await eventually(lambda: ports(watcher) == [port])
    (before,) = watcher.directory.find()
    child.kill()
    await child.wait()
    async with Discovery(url, service_id="orders") as successor:
        registration = await successor.advertise(port=port)
        await eventually(lambda: [each.name for each in watcher.directory] == [registration.name])
        assert registration.name != before.name


async def test_processes_that_live_are_left_alone(url, start, watcher):
    """Others of the service, with the same instance id as well; and dead ones of another service."""
    live = [free_port() for _ in range(3)]
    for port in live[:2]:
        await start(port, "service_id=orders", "instance_id=orders-1")
    await start(live[2], "service_id=orders")
    dead = free_port()
    child = await start(dead, "service_id=stock", "instance_id=stock-1")
    await eventually(lambda: ports(watcher) == sorted([*live, dead]))
    child.kill()
    await child.wait()
    mine = free_port()
    async with Discovery(url, service_id="orders", instance_id="orders-1") as successor:
        await successor.advertise(port=mine)
        await eventually(lambda: ports(successor) == sorted([*live, dead, mine]))
        task = successor._predecessors
        await eventually(lambda: not task._registered.is_set())
        assert set(task._ended()) == set()


async def test_a_registry_that_refuses_is_no_failure(url, start, watcher, monkeypatch, caplog):
    """The record stays until its session ends, as it did before."""
    port = free_port()
    child = await start(port, "service_id=orders")
    child.kill()
    await child.wait()
    caplog.set_level("INFO", "peerage.predecessors")
    async with Discovery(url, service_id="orders") as successor:

        async def delete(_):
            raise NoAuth("NoAuth")

        monkeypatch.setattr(successor.registry.connection, "delete", delete)
        assert isinstance(successor.registry, Removal)
        with pytest.raises(RegistryDeniedError):
            await successor.registry.remove_record("any.0000000001")
        await successor.advertise(port=free_port())
        await eventually(lambda: "can't be removed" in caplog.text)
        assert port in ports(successor)


async def test_removing_what_isnt_there(url):
    """Another process was faster."""
    async with Discovery(url) as discovery:
        await discovery.ready()
        await discovery.registry.remove_record("missing.0000000001")


async def test_an_identity_of_another_process_says_nothing_of_this_one(url):
    """Whether that one lives can't be known."""
    async with Discovery(url, service_id="orders") as discovery:
        await discovery.advertise(port=1)
        (mine,) = await eventually(discovery.directory.find)
        assert mine.record()["peerage"]["process"]
        other = os.getppid()
        identity = discovery.identity()
        object.__setattr__(identity, "process_id", other)
        await discovery.advertise(identity=identity, port=2)
        await eventually(lambda: len(discovery.directory) == 2)
        (theirs,) = [each for each in discovery.directory if each.name != mine.name]
        assert "process" not in theirs.record()["peerage"]
