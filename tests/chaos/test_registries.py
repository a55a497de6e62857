"""What callers notice of a registry that is away, has lost its data or is wrong: nothing."""

import asyncio
import shutil
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from tests.restarts import Load, sending
from tests.web.programs import RUN_APP, environ

from peerage import CallOptions, Discovery, trace_calls
from peerage.testing import eventually
from peerage.testing.children import STRICT, Child, run
from peerage.testing.waiting import PATIENCE
from peerage.testing.zookeeper import Proxy, ZooKeeperServer
from peerage.testing.zookeeper.server import free_port

pytestmark = [pytest.mark.long, pytest.mark.alone]

#: Calls a second.
RATE = 50

#: Seconds for which services are cut off from the registry.
CUT_OFF = 15.0

ORDERS = "http://orders.service_id.asab/work"


def url_of(address: str, folder: Path, session_timeout: float = 3) -> str:
    """The URL of a registry that only the test with this folder uses."""
    return f"zookeeper://{address}/{folder.name}?session_timeout={session_timeout}"


class Cluster:
    """Processes that advertise themselves, and a caller."""

    def __init__(self, stack, folder, registry, caller: Discovery):
        self._stack = stack
        self._folder = folder
        self._registry = registry
        self.caller = caller
        self.running: dict[str, tuple[Child, int]] = {}

    async def start(self, instance: str, port: int | None = None, service: str = "orders") -> None:
        """Start an instance, and wait until it accepts connections."""
        port = free_port() if port is None else port
        variables = environ(
            self._folder, instance, SERVICE_ID=service, PEERAGE_REGISTRY=self._registry, TEST_PORT=str(port)
        )
        child = await self._stack.enter_async_context(run(*STRICT, "-c", RUN_APP, environ=variables))
        self.running[instance] = child, port

        async def accepts() -> bool:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await eventually(accepts, f"{instance} listening")

    async def stop(self, instance: str) -> int:
        """Stop an instance as supervisors do, and return its port."""
        child, port = self.running.pop(instance)
        child.terminate()
        assert (await child.end())[0] == 0, child.log
        return port

    async def known(self) -> None:
        """Wait until the caller knows those that run, and no others, and suspects none."""

        def found() -> dict[str | None, str | None]:
            return {
                each.instance_id: each.state
                for each in self.caller.directory.find((("service_id", "orders"),))
            }

        running = dict.fromkeys(self.running)
        await eventually(found, f"{sorted(running)}, which run", wanted=lambda found: found == running)


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def server(tmp_path):
    with ZooKeeperServer(tmp_path / "zookeeper") as server:
        yield server


async def cluster_of(stack, folder, registry: str, callers: str) -> Cluster:
    """Start three instances in *registry*, called by way of *callers*."""
    caller = await stack.enter_async_context(Discovery(callers))
    cluster = Cluster(stack, folder, registry, caller)
    async with asyncio.TaskGroup() as group:
        for name in ("orders-0", "orders-1", "orders-2"):
            group.create_task(cluster.start(name))
    await cluster.known()
    return cluster


async def calling(stack, cluster) -> Load:
    session = await stack.enter_async_context(cluster.caller.session())
    return await stack.enter_async_context(sending(session, ORDERS, RATE))


@pytest.mark.parametrize("same_ports", [False, True])
async def test_services_are_restarted_while_the_registry_loses_its_data(tmp_path, stack, server, same_ports):
    """On other ports, two of three are, which are found when it is back."""
    url = url_of(server.address, tmp_path)
    cluster = await cluster_of(stack, tmp_path, url, url)
    load = await calling(stack, cluster)
    await load.some(RATE)
    server.kill()
    shutil.rmtree(server.folder / "data")
    for number in range(3 if same_ports else 2):
        port = await cluster.stop(f"orders-{number}")
        await cluster.start(
            f"orders-{number}" if same_ports else f"new-{number}", port if same_ports else None
        )
        await load.some(RATE // 5)
    await asyncio.to_thread(server.start)
    await cluster.known()
    await load.some(RATE)
    assert load.failed == []


@pytest.mark.parametrize("same_port", [False, True])
async def test_the_only_instance_is_killed_and_started_again(tmp_path, stack, zookeeper, same_port):
    """The record of the dead one is still there, and its port refuses connections until the new one listens.

    Requests under way when it is killed may fail: a POST isn't repeated.
    """
    url = url_of(zookeeper.address, tmp_path)
    # A process may take long to start on a slow machine.
    caller = await stack.enter_async_context(Discovery(url, calls=CallOptions(wait=PATIENCE)))
    cluster = Cluster(stack, tmp_path, url, caller)
    await cluster.start("orders-0")
    await cluster.known()
    load = await calling(stack, cluster)
    for _ in range(3):
        await load.some(RATE)
        child, port = cluster.running.pop("orders-0")
        child.kill()
        await child.end()
        await cluster.start("orders-0", port if same_port else None)
        await cluster.known()
    await load.some(RATE)
    assert not [each for each in load.failed if "POST" not in each or "refused" in each]


async def test_all_services_are_cut_off_from_the_registry(tmp_path, stack, zookeeper):
    """Their sessions end, but not that of the caller, which sees all records vanish."""
    proxy = await stack.enter_async_context(Proxy(zookeeper.address))
    cluster = await cluster_of(
        stack, tmp_path, *(url_of(each.address, tmp_path) for each in (proxy, zookeeper))
    )
    load = await calling(stack, cluster)
    await load.some(RATE)
    await proxy.refuse()
    over = asyncio.get_running_loop().time() + CUT_OFF
    await eventually(lambda: sum(each.suspect for each in cluster.caller.directory) == 3)
    # The length of the fault is what is tested.
    await asyncio.sleep(over - asyncio.get_running_loop().time())
    await proxy.heal()
    await cluster.known()
    await load.some(RATE)
    assert load.failed == []


async def test_another_service_takes_the_port_of_a_stale_record(tmp_path, stack, zookeeper):
    """It processes no request that is meant for the one that died, and none of them fails."""
    url = url_of(zookeeper.address, tmp_path, session_timeout=20)
    cluster = await cluster_of(stack, tmp_path, url, url)
    session = await stack.enter_async_context(cluster.caller.session())
    killed, port = cluster.running.pop("orders-2")
    killed.kill()
    await killed.wait()
    await cluster.start("billing-0", port, service="billing")
    with trace_calls() as traces:
        for number in range(200):
            async with session.request(("GET", "POST")[number % 2], ORDERS) as response:
                assert (await response.json())["who"] in {"orders-0", "orders-1"}
    assert len(await cluster.caller.instances(service_id="orders")) == 3
    refused = [attempt for trace in traces for attempt in trace.attempts if attempt.outcome == "misdirected"]
    assert refused
    assert {attempt.instance for attempt in refused} == {"orders-2"}
