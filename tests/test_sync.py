"""The façade without an event loop: it finds, is found, and goes on in forked children."""

import inspect
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.backends.programs import program

import peerage
from peerage import ConfigurationError, NotReadyError, RegistryClosedError
from peerage.sync import Discovery
from peerage.testing import eventually
from peerage.testing.waiting import PATIENCE

NUMBERS = itertools.count()


@pytest.fixture
def url():
    return f"memory:sync-{next(NUMBERS)}"


@pytest.fixture
def discovery(url):
    with Discovery(url, service_id="shop", instance_id="shop-1") as discovery:
        yield discovery


def addresses(found):
    return {each.rpartition(":")[2] for each in found}


def seen(discovery, ports, **ids):
    """Wait until these ports are found: other event loops hear of a change after a moment."""
    deadline = time.monotonic() + PATIENCE
    while (found := addresses(discovery.locate(**ids))) != ports:
        assert time.monotonic() < deadline, found
        time.sleep(0.005)


def test_it_advertises_and_finds(url, discovery):
    """As its asynchronous sister does: two processes of a service and their ids."""
    with Discovery(url, service_id="orders", instance_id="orders-1") as orders:
        one = orders.advertise(port=8081)
        two = orders.advertise(port=8082, ids={"shard": 2})
        seen(discovery, {"8081", "8082"}, service_id="orders")
        assert addresses(discovery.locate({"shard": 2})) == {"8082"}
        assert {one.name, two.name} == {each.name for each in discovery.instances(service_id="orders")}
        one.update(port=8083)
        seen(discovery, {"8083", "8082"}, service_id="orders")
        two.withdraw()
        two.withdraw()
        seen(discovery, {"8083"}, service_id="orders")
        one.drain(0)
        seen(discovery, set())
        orders.advertise(port=8084)
        seen(discovery, {"8084"})
        orders.drain(lame_duck=0)
        seen(discovery, set())


def test_it_opens_at_first_use_and_closes_for_good(url):
    """Without ``with``; what was advertised is withdrawn."""
    threads = threading.active_count()
    discovery = Discovery(url, service_id="shop")
    assert threading.active_count() == threads
    registration = discovery.advertise(port=80)
    seen(discovery, {"80"}, service_id="shop")
    discovery.close()
    discovery.close()
    for use in (
        discovery.locate,
        discovery.ready,
        discovery.call_counts,
        lambda: registration.update(port=1),
    ):
        with pytest.raises(RegistryClosedError):
            use()
    with Discovery(url) as other:
        assert other.locate() == set()


def test_threads_share_it(url, discovery):
    """Fifty at once, from the first use on."""
    discovery.advertise(port=80)
    together = threading.Barrier(50)

    def work(_):
        together.wait()
        return [len(other.locate(service_id="shop")) for _ in range(20)]

    with Discovery(url) as other, ThreadPoolExecutor(50) as threads:
        assert list(threads.map(work, range(50))) == [[1] * 20] * 50


def test_its_arguments_are_checked_at_once():
    """As those of the asynchronous one, which they are passed to."""
    with pytest.raises(ConfigurationError):
        Discovery("nonsense:")
    with pytest.raises(ConfigurationError, match="service_id"):
        Discovery("memory:", service_id="my shop")
    with pytest.raises(TypeError, match="surname"):
        Discovery(surname="shop")


def test_it_waits_for_the_registry_as_long_as_was_said():
    """The error names the registry."""
    with (
        Discovery("zookeeper://127.0.0.1:1/asab", ready_timeout=0.05) as discovery,
        pytest.raises(NotReadyError, match=r"127\.0\.0\.1:1"),
    ):
        discovery.locate()


async def test_it_refuses_a_thread_with_an_event_loop(url):
    """There, the asynchronous one belongs."""
    discovery = Discovery(url)
    with pytest.raises(RuntimeError, match=r"peerage\.Discovery"):
        discovery.locate(service_id="shop")
    discovery.close()


@pytest.mark.parametrize("name", ["advertise", "drain", "ready", "locate", "instances", "call_counts"])
def test_its_methods_have_the_parameters_of_the_asynchronous_ones(name):
    """Those that both have."""
    both = (inspect.signature(getattr(each, name)).parameters for each in (Discovery, peerage.Discovery))
    ours, theirs = ([(each.name, each.kind, each.default) for each in one.values()] for one in both)
    assert ours == theirs


_FORKING = """
import logging, os, sys, time, warnings
from peerage import RegistryClosedError
from peerage.sync import Discovery

# Python 3.12 and later warn of each fork in a program with threads.
warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
# On a busy machine, asyncio's debug mode finds that a callback takes long.
logging.getLogger("asyncio").setLevel("ERROR")
discovery = Discovery(sys.argv[1], service_id="shop", instance_id="shop-1")

def found(number):
    # Other processes hear of a change after a moment.
    while len(discovery.locate(service_id="shop")) != number:
        time.sleep(0.01)
"""


@pytest.fixture(params=["embedded", "zookeeper"])
def shared(request, tmp_path):
    """A registry that several processes use."""
    if request.param == "embedded":
        return f"embedded://{tmp_path}/registry"
    return f"zookeeper://{request.getfixturevalue('zookeeper').address}/sync-{next(NUMBERS)}"


async def located(observer, ports):
    async def find():
        return addresses(await observer.locate(service_id="shop"))

    await eventually(find, "the change", wanted=lambda found: found == ports)


async def test_a_forked_child_opens_it_again(shared):
    """It finds the parent's record, which isn't its own and stays when the child ends."""
    text = f"""{_FORKING}
registration = discovery.advertise(port=80)
for _ in range(2):
    child = os.fork()
    if child == 0:
        found(1)
        for use in (registration.withdraw, lambda: registration.update(port=81), lambda: registration.name):
            try:
                use()
            except RegistryClosedError as error:
                assert "fork" in str(error)
            else:
                raise AssertionError("the record of the parent was used")
        discovery.drain(0)
        own = discovery.advertise(port=82)
        found(2)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
found(1)
print("alone", flush=True)
registration.update(port=83)
input()
"""
    async with program(text, shared) as child, peerage.Discovery(shared) as observer:
        assert await child.line() == "alone"
        await located(observer, {"83"})
        # At the end of the process, it is closed: its record is withdrawn, not lost.
        await child.tell("")
        assert await child.end() == (0, ""), child.log
        assert not child.log
        await located(observer, set())
