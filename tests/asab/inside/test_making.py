"""The orders in which a program of the real framework makes things, and the wrong ones."""

import pytest
from tests.asab.inside.programs import guest, named
from tests.asab.inside.reader import Reader
from tests.asab.running import running
from tests.asab.zookeeper.programs import on

#: An application that makes nothing but what the test adds; ``ApiService`` is ours.
BARE = """
load("web", "web.auth", "zookeeper", "api", "api.discovery")
import aiohttp
from peerage.asab.api import ApiService
import peerage.asab.api.discovery
asab.Config.add_defaults({
    "general": {"tick_period": "1"},
    "web": {"listen": "0.0.0.0 0"},
    "zookeeper": {"servers": os.environ["TEST_SERVERS"], "path": os.environ["TEST_PATH"]},
})
def attempt(make, *args, **kwargs):
    try:
        make(*args, **kwargs)
    except Exception as error:
        say(type(error).__name__, error)
    else:
        say("done")
async def found(app, instance):
    discovery = app.get_service("asab.DiscoveryService")
    while not await discovery.locate(instance):
        await asyncio.sleep(0.01)
class Bare(asab.Application):
    def __init__(self, *modules):
        super().__init__(args=[], modules=modules)
"""


async def lines_of(inside, environ, program: str) -> list[str]:
    async with running(BARE + program, kind=inside, environ=environ) as one:
        code, lines = await one.end()
        assert code == 0, one.log
        return lines


async def test_a_second_api_service(inside, zookeeper):
    """The framework raises its own error in either order, also for create_web_server(api=True)."""
    lines = await lines_of(
        inside,
        named(on(zookeeper), "my-1"),
        """
app = Bare(asab.web.Module, asab.zookeeper.Module)
asab.web.create_web_server(app, api=True)
attempt(ApiService, app)
asab.Singleton.delete(Bare)
app = Bare(asab.web.Module, asab.zookeeper.Module)
attempt(ApiService, app)
attempt(ApiService, app)
attempt(asab.web.create_web_server, app, api=True)
sys.stdout.flush()
os._exit(0)
""",
    )
    refused = "RuntimeError Service asab.ApiService already registered"
    assert lines == [refused, "done", refused, refused]


async def test_what_is_missing(inside, zookeeper):
    """The errors are those of an application of this layer."""
    lines = await lines_of(
        inside,
        named(on(zookeeper), "my-1"),
        """
api = ApiService(Bare())
attempt(api.initialize_web)
attempt(api.initialize_zookeeper)
sys.stdout.flush()
os._exit(0)
""",
    )
    assert lines[0].startswith("RuntimeError initialize_web() needs the web service")
    assert lines[1].startswith("RuntimeError initialize_zookeeper() needs a container")


async def test_too_late_for_the_web_container(inside, zookeeper):
    """Once the container has started; the error says more than the framework's router does."""
    lines = await lines_of(
        inside,
        named(on(zookeeper), "my-1"),
        """
class Late(Bare):
    async def main(self):
        web = self.get_service("asab.WebService").WebContainer
        while web.Addresses is None:
            await asyncio.sleep(0.01)
        api = ApiService(self)
        attempt(api.initialize_web, web)
        self.stop()
Late(asab.web.Module).get_service("asab.WebService").WebContainer
Late().run()
""",
    )
    assert len(lines) == 1
    assert lines[0].startswith("RuntimeError initialize_web() comes too late")


@pytest.mark.parametrize("where", ["initialize", "main"])
async def test_made_in(inside, zookeeper, where):
    """Also once the application runs, with the containers of the sections by default."""
    program = f"""
class Made(Bare):
    async def make(self):
        api = ApiService(self)
        api.initialize_web()
        api.initialize_zookeeper()
    async def initialize(self):
        if {where == "initialize"}:
            await self.make()
    async def main(self):
        if {where == "main"}:
            await self.make()
        await found(self, "my-1")
        say("found")
        self.stop()
Made(asab.web.Module, asab.zookeeper.Module).run()
"""
    environ = named(on(zookeeper), "my-1")
    async with Reader(zookeeper.address, environ["TEST_PATH"]) as reader:
        assert await lines_of(inside, environ, program) == ["found"]
        assert await reader.records() == []


async def test_a_worker(inside, zookeeper):
    """Without a web server: it is there, isn't called, and is gone at once."""
    environ = named(on(zookeeper), "my-1")
    program = """
class Worker(Bare):
    async def main(self):
        api = ApiService(self)
        api.initialize_zookeeper()
        discovery = self.get_service("asab.DiscoveryService")
        while not (records := await discovery.get_advertised_instances()):
            await asyncio.sleep(0.01)
        say(records[0]["instance_id"], "web" in records[0], await discovery.locate("my-1"))
        self.stop()
Worker(asab.zookeeper.Module).run()
"""
    assert await lines_of(inside, environ, program) == ["my-1 False set()"]


async def test_discovery_service_alone(inside, zookeeper):
    """Without an ApiService, and as a second one of another name."""
    environ = on(zookeeper)
    program = """
class Alone(Bare):
    def __init__(self):
        super().__init__(asab.zookeeper.Module)
        self.Zk = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"))
        make = peerage.asab.api.discovery.DiscoveryService
        self.Discovery = make(self, self.Zk)
        self.Other = make(self, self.Zk, service_name="other")
    async def initialize(self):
        # Already here, where the original would wait for ten minutes.
        say(await self.Discovery.locate("my-1") == await self.Other.locate("my-1") != set())
    async def main(self):
        for discovery in (self.Discovery, self.Other):
            async with discovery.session() as session:
                async with session.get("http://my-1.instance_id.asab/who") as response:
                    say(await response.text())
        try:
            await self.Discovery.session().get("http://unknown.service_id.asab/")
        except asab.api.discovery.NotDiscoveredError as error:
            say(isinstance(error, peerage.asab.api.discovery.NotDiscoveredError))
        self.stop()
    async def finalize(self):
        say(len(await self.Discovery.locate("my-1")))
Alone().run()
"""
    async with (
        guest(inside, named(environ, "my-1")) as one,
        Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
    ):
        await reader.one_of("my-1")
        assert await lines_of(inside, named(environ, "other-1"), program) == [
            "True",
            '{"who": "my-1"}',
            '{"who": "my-1"}',
            "True",
            "1",
        ], one.running.log
        assert len(await reader.records()) == 1


async def test_ready_timeout_of_the_frameworks_configuration(inside, zookeeper):
    """The error is both a NotDiscoveredError and a TimeoutError."""
    program = """
asab.Config.add_defaults({"discovery": {"ready_timeout": "50 ms"}})
class Waiting(Bare):
    async def main(self):
        ApiService(self).initialize_zookeeper()
        try:
            await self.get_service("asab.DiscoveryService").locate("my-1")
        except TimeoutError as error:
            say(isinstance(error, peerage.asab.api.discovery.NotDiscoveredError), "0.05 s" in str(error))
        sys.stdout.flush()
        os._exit(0)
Waiting(asab.zookeeper.Module).run()
"""
    environ = {**named(on(zookeeper), "my-1"), "TEST_SERVERS": "127.0.0.1:1"}
    assert await lines_of(inside, environ, program) == ["True True"]
