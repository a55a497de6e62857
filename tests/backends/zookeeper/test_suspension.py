"""A machine that is suspended: what was read is old, and the session is over."""

import asyncio

import pytest
from aiohttp import web

from peerage import Discovery
from peerage.backends.zookeeper import suspension
from peerage.backends.zookeeper.suspension import SuspensionWatch, read_clocks
from peerage.testing import eventually
from peerage.testing.zookeeper import Proxy
from peerage.web.running import bound_web


class Clocks:
    """Two clocks that go on while a machine is suspended; they are ahead of the monotonic one by these."""

    def __init__(self):
        self.ahead = (1000.0, 5.0)

    def __call__(self):
        return self.ahead

    def suspend(self, seconds):
        self.ahead = tuple(each + seconds for each in self.ahead)


@pytest.fixture
def clocks(monkeypatch):
    clocks = Clocks()
    monkeypatch.setattr(suspension, "read_clocks", clocks)
    monkeypatch.setattr(suspension, "PERIOD", 0.01)
    return clocks


async def test_it_is_noticed_once(clocks):
    """By the clock of either kind; a clock that is slewed or set back is no reason."""
    found = []
    watch = SuspensionWatch(found.append)
    watch.start()
    clocks.suspend(3600)
    await eventually(lambda: found == [3600])
    clocks.ahead = (clocks.ahead[0] + 30, clocks.ahead[1])
    await eventually(lambda: found == [3600, 30])
    clocks.suspend(-50)
    clocks.suspend(1.5)
    await asyncio.sleep(0.05)
    watch.stop()
    assert found == [3600, 30]


def test_the_clocks_of_this_machine():
    """They don't run apart while it isn't suspended."""
    before, after = read_clocks(), read_clocks()
    assert len(before) == len(after) > 0


async def test_a_session_that_ended_meanwhile_is_replaced(server, session_timeout, clocks, caplog):
    """Long before a ping isn't answered: the service is advertised again, and knows what has changed."""
    async with Proxy(server.address) as proxy:
        url = f"zookeeper://{proxy.address}/suspended?session_timeout=60"
        async with Discovery(url, service_id="orders") as service, Discovery(url) as caller:
            registration = await service.advertise(port=8080)
            await caller.ready()
            await eventually(caller.directory.find)
            before = registration.name
            proxy.black_hole()
            await proxy.expire_sessions()
            clocks.suspend(3600)
            await eventually(lambda: caller.stale is not None and service.stale is not None)
            assert "suspended for 3600 s" in caplog.text
            assert caller.age >= 3600
            assert caller.directory.find()
            await proxy.heal()
            await eventually(lambda: caller.stale is None and registration.name not in {None, before})
            await eventually(lambda: [each.name for each in caller.directory.find()] == [registration.name])
            assert caller.age == 0


async def test_a_machine_may_be_suspended_while_the_registry_is_out_of_reach(server, session_timeout, clocks):
    """What is known is older than the clocks of the process say; connections to services may be dead."""
    noticed = []
    async with (
        Proxy(server.address) as proxy,
        Discovery(f"zookeeper://{proxy.address}/suspended") as caller,
    ):
        caller.membership.on_suspension.append(lambda: noticed.append(caller.stale))
        await caller.ready()
        await proxy.refuse()
        await caller.membership.wait_stale()
        assert caller.age < 1800
        for hours in (1, 2):
            clocks.suspend(3600)
            await eventually(lambda hours=hours: 3600 * hours <= caller.age < 3600 * (hours + 0.5))
            await eventually(lambda hours=hours: len(noticed) == hours)
        await proxy.heal()
        await eventually(lambda: caller.stale is None)
        assert caller.age == 0
        proxy.cut()
        await caller.membership.wait_stale()
        assert caller.age < 1800
    assert len(noticed) == 2


async def test_a_session_that_survived_goes_on(url, clocks):
    """The clock was set, for example: the record stays, under its name."""
    async with Discovery(url, service_id="orders") as service:
        registration = await service.advertise(port=8080)
        await service.membership.wait_in_touch()
        before, session = registration.name, service.registry.connection.session
        clocks.suspend(3600)
        await service.membership.wait_stale()
        await service.membership.wait_in_touch()
        assert service.registry.connection.session == session
        assert registration.name == before
        assert [each.name for each in service.directory.find()] == [before]


async def test_idle_connections_to_services_are_closed(url, clocks):
    """The other side may have closed them meanwhile: a POST over one of them would fail."""

    async def answer(_):
        return web.Response()

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Discovery(url, service_id="orders") as service, service.session() as session:
        await service.advertise(web=bound_web(runner))
        await eventually(service.directory.find)
        async with session.get("http://orders.service_id.asab/") as response:
            await response.read()
        pooled = service._client._connections.pooled
        assert pooled()
        clocks.suspend(3600)
        await eventually(lambda: not pooled())
    await runner.cleanup()
    assert not service.membership.on_suspension


async def test_another_session_time_out_than_asked_for_is_logged(server, caplog):
    """Once for a registry; the servers have the last word."""
    async with Discovery(f"zookeeper://{server.address}/granted?session_timeout=90") as discovery:
        await discovery.ready()
        assert (await discovery.registry.inspect()).session_timeout == 60
    (line,) = [each for each in caplog.messages if "session time-out" in each]
    assert "60 s, not 90 s" in line


async def test_the_one_asked_for_is_not_logged(url, caplog):
    async with Discovery(url) as discovery:
        await discovery.ready()
    assert "session time-out" not in caplog.text
