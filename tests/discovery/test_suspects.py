"""Services that serve on while their records vanish, with a real ZooKeeper and real calls."""

import asyncio
import itertools
import json
import shutil
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from kazoo.client import KazooClient
from tests.backends.zookeeper.support import folder_of

from peerage import Discovery, NotDiscoveredError, open_registry
from peerage.cli.ls import list_once
from peerage.cli.watch import watch
from peerage.membership import Membership
from peerage.testing import eventually
from peerage.testing.zookeeper import Proxy, ZooKeeperServer

_numbers = itertools.count()


@pytest.fixture
def folder():
    return f"suspects-{next(_numbers)}"


def url_of(address, folder):
    return f"zookeeper://{address}/{folder}?session_timeout=3"


class Services:
    """Services in this process that answer with their name, each with a session of its own."""

    def __init__(self, stack, url):
        self._stack = stack
        self._url = url
        self.runners = {}
        self.discoveries = {}

    async def start(self, name, service="orders"):
        async def answer(_):
            return web.Response(text=name)

        app = web.Application()
        app.router.add_get("/", answer)
        runner = self.runners[name] = web.AppRunner(app)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        discovery = self.discoveries[name] = await self._stack.enter_async_context(
            Discovery(self._url, service_id=service, instance_id=name)
        )
        return await discovery.advertise(web=[runner.addresses[0][:2]])


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


class Calls:
    """Calls of a service, one after the other, until stopped."""

    def __init__(self, session, url="http://orders.service_id.asab/"):
        self._session = session
        self._url = url
        self.answers = []
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            async with self._session.get(self._url) as response:
                self.answers.append(await response.text())
            await asyncio.sleep(0.01)

    async def more(self):
        """Wait for twenty more; raises what a call raised."""
        count = len(self.answers)
        await eventually(lambda: self._task.done() or len(self.answers) >= count + 20)
        if self._task.done():
            self._task.result()

    async def stop(self):
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()


def suspects(discovery):
    return sorted(one.instance_id for one in discovery.directory if one.suspect)


def callable_services(discovery):
    """Return how many of eight services can be called."""
    return sum(bool(discovery.directory.targets("service_id", f"service-{number}")) for number in range(8))


async def known(discovery, count):
    await eventually(lambda: len(discovery.directory.find()) == count)


async def test_services_whose_sessions_end_together_stay_callable(zookeeper, folder, stack):
    """All are known all the time, and none is suspect once it has registered again."""
    proxy = await stack.enter_async_context(Proxy(zookeeper.address))
    services = Services(stack, url_of(proxy.address, folder))
    watcher = await stack.enter_async_context(Discovery(url_of(zookeeper.address, folder)))
    for number in range(8):
        await services.start(f"s{number}", f"service-{number}")
    await known(watcher, 8)
    fewest = []
    watcher.directory.subscribe(lambda _: fewest.append(callable_services(watcher)))
    names = {one.name for one in watcher.directory}
    await proxy.expire_sessions()
    await eventually(lambda: names.isdisjoint(one.name for one in watcher.directory))
    await known(watcher, 8)
    assert min(fewest) == 8
    assert not suspects(watcher)


async def test_a_frozen_server_empties_no_directory(tmp_path, stack):
    """It ends sessions when it goes on, those of watchers included: all, some or none of them."""
    server = stack.enter_context(ZooKeeperServer(tmp_path))
    services = Services(stack, url_of(server.address, "asab"))
    registrations = [await services.start(f"s{number}", f"service-{number}") for number in range(8)]
    watchers = [*services.discoveries.values()]
    fewest = []
    for each in watchers:
        await known(each, 8)
        each.directory.subscribe(lambda _, each=each: fewest.append(callable_services(each)))
    server.suspend()
    await asyncio.sleep(3.5)  # the fault itself
    server.resume()

    def settled():
        names = {each.name for each in registrations}
        return all(not each.stale and names == {one.name for one in each.directory} for each in watchers)

    await eventually(settled, "directories that equal the truth")
    for each in watchers:
        await known(each, 8)
        assert not suspects(each)
    assert not fewest or min(fewest) == 8


async def test_services_cut_off_from_the_registry_are_called(zookeeper, folder, stack, capsys):
    """Three of three serve all the time: no call fails, and afterwards none is suspect."""
    proxy = await stack.enter_async_context(Proxy(zookeeper.address))
    services = Services(stack, url_of(proxy.address, folder))
    url = url_of(zookeeper.address, folder)
    caller = await stack.enter_async_context(Discovery(url))
    session = await stack.enter_async_context(caller.session())
    for name in "abc":
        await services.start(name)
    await known(caller, 3)
    calls = Calls(session)
    await calls.more()
    await proxy.refuse()
    await eventually(lambda: suspects(caller) == ["a", "b", "c"])
    del calls.answers[:]
    await eventually(lambda: {*calls.answers} == {"a", "b", "c"})
    # A process that begins now can't know them.
    await list_once(url, [], timeout=5, as_array=False)
    assert "No instance is advertised" in capsys.readouterr().err
    await proxy.start()
    await eventually(lambda: not suspects(caller) and len(caller.directory.find()) == 3)
    await calls.more()
    await calls.stop()


async def test_calls_go_on_while_the_data_of_the_registry_are_wiped(zookeeper, folder, stack):
    """All records are removed, while one of the services is started again."""
    url = url_of(zookeeper.address, folder)
    services = Services(stack, url)
    caller = await stack.enter_async_context(Discovery(url))
    session = await stack.enter_async_context(caller.session())
    first, *_ = [await services.start(name) for name in "abc"]
    await known(caller, 3)
    calls = Calls(session)
    await calls.more()
    kazoo = KazooClient(zookeeper.address)
    await asyncio.to_thread(kazoo.start)
    stack.callback(kazoo.close)
    stack.callback(kazoo.stop)
    names = {one.name for one in caller.directory}
    wipe = kazoo.transaction()
    for name in names:
        wipe.delete(f"{folder_of(url)}/{name}")
    await asyncio.to_thread(wipe.commit)
    await first.drain(0.1)
    await services.runners["a"].cleanup()
    await services.start("d")
    await eventually(lambda: names.isdisjoint(one.name for one in caller.directory))
    await known(caller, 3)
    await calls.more()
    assert not suspects(caller)
    await calls.stop()


@pytest.mark.parametrize("end", ["withdraw", "close"])
async def test_a_service_that_withdraws_is_no_suspect(zookeeper, folder, stack, end):
    """Neither if it is the last of its name, nor if it never drained."""
    url = url_of(zookeeper.address, folder)
    services = Services(stack, url)
    watcher = await stack.enter_async_context(Discovery(url))
    registration = await services.start("a")
    await known(watcher, 1)
    seen = []
    watcher.directory.subscribe(lambda _: seen.extend(suspects(watcher)))
    await (registration.withdraw() if end == "withdraw" else services.discoveries["a"].aclose())
    await known(watcher, 0)
    assert not seen


@pytest.mark.long
async def test_a_suspect_that_refuses_connections_is_gone_at_the_first_call(zookeeper, folder, stack, capsys):
    """It was killed: the caller gets the same error as always. `peerage ls --watch` shows it as suspect."""
    proxy = await stack.enter_async_context(Proxy(zookeeper.address))
    services = Services(stack, url_of(proxy.address, folder))
    caller = await stack.enter_async_context(Discovery(url_of(zookeeper.address, folder)))
    session = await stack.enter_async_context(caller.session())
    await services.start("a")
    await known(caller, 1)
    watching = asyncio.create_task(
        watch(url_of(zookeeper.address, folder), ["service_id=orders"], timeout=5, as_lines=True)
    )
    shown = []

    def lines():
        shown.extend(json.loads(line) for line in capsys.readouterr().out.splitlines())
        return [(line["event"], line["state"]) for line in shown]

    await eventually(lambda: lines() == [("joined", "ready")])
    await services.runners["a"].cleanup()
    await proxy.refuse()
    await eventually(lambda: suspects(caller) == ["a"])
    await eventually(lambda: lines() == [("joined", "ready"), ("changed", "suspect")])
    watching.cancel()
    await asyncio.wait([watching])
    assert await caller.locate(service_id="orders")
    with pytest.raises(OSError, match="orders"):
        await session.get("http://orders.service_id.asab/")
    assert not caller.directory.names()
    with pytest.raises(NotDiscoveredError):
        await session.get("http://orders.service_id.asab/")


async def test_calls_go_on_while_the_folder_of_an_embedded_registry_is_removed(tmp_path, stack):
    base = tmp_path / "above" / "r"
    base.parent.mkdir()
    services = Services(stack, f"embedded://{base}")
    for name in ("one", "two"):
        await services.start(name, name)
    caller = await stack.enter_async_context(Discovery(f"embedded://{base}"))
    calls = Calls(await stack.enter_async_context(caller.session()), "http://one.service_id.asab/")
    await calls.more()
    shutil.rmtree(base.parent)
    await eventually(lambda: suspects(caller) == ["one", "two"])
    await calls.more()
    base.parent.mkdir()
    await eventually(lambda: not suspects(caller))
    await calls.more()
    await calls.stop()
    await services.discoveries["two"].aclose()
    await known(caller, 1)


async def test_it_can_be_switched_off(zookeeper, folder, stack):
    """By an argument."""
    proxy = await stack.enter_async_context(Proxy(zookeeper.address))
    services = Services(stack, url_of(proxy.address, folder))
    watcher = await stack.enter_async_context(Discovery(url_of(zookeeper.address, folder), suspect_seconds=0))
    await services.start("a")
    await known(watcher, 1)
    await proxy.refuse()
    await eventually(lambda: not watcher.directory.names())


async def test_suspects_are_dropped_without_any_event(folder, stack):
    """When their time is over, although nothing happens in the registry."""
    registry = open_registry(f"memory:{folder}")
    stack.push_async_callback(registry.aclose)
    service = await stack.enter_async_context(Discovery(registry, service_id="orders"))
    await service.advertise(port=8080)
    watcher = await stack.enter_async_context(Discovery(f"memory:{folder}", suspect_seconds=0.3))
    await known(watcher, 1)
    seen = []
    watcher.directory.subscribe(lambda event: seen.append(event.after and event.after.state))
    registry.lose()
    registry.expire()
    await known(watcher, 0)
    assert seen == ["suspect", None]


async def test_the_window_is_the_session_time_out_of_the_registry(zookeeper, folder, stack):
    """As the server has granted it."""
    watcher = await stack.enter_async_context(Discovery(url_of(zookeeper.address, folder)))
    assert isinstance(watcher.membership, Membership)
    await eventually(lambda: watcher.directory.guard.session_timeout == 3)
