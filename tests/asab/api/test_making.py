"""The row ``ApiService``: how a program makes it, with which containers, and when it advertises."""

import pytest
from tests.asab.api.programs import SERVICE, on
from tests.asab.both import both, ours


def test_without_a_web_container(zookeeper):
    """A worker: advertised at once, without an address; later with one, in place."""
    outcome = both(
        SERVICE
        + """
class Worker(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module, asab.web.Module])
        self.Zk = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"))
        self.Api = asab.api.ApiService(self)
        self.Api.initialize_zookeeper(self.Zk)
async def program(app):
    node = await node_of(app)
    record = await app.Zk.get_data(f"run/{node}")
    say("web" in record, record["service_id"])
    app.Web = asab.web.WebContainer(app.get_service("asab.WebService"), "web")
    app.Api.initialize_web(app.Web)
    app.Api.update_discovery({"colour": ["blue"]})
    record = await record_of(app)
    say(record["web"] == [list(app.Web.Addresses[0])], record["discovery"]["colour"])
    say(await node_of(app) == node)
run(program, Worker())
""",
        SERVICE_ID="worker",
        **on(zookeeper),
    )
    assert outcome.lines == ["False worker", "True ['blue']", "True"], outcome.log


def test_a_web_container_that_listens_already(zookeeper):
    """Its addresses are looked at as it is given."""
    outcome = both(
        SERVICE
        + """
class Late(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module, asab.web.Module])
        self.Web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
async def program(app):
    await eventually(lambda: app.Web.Addresses)
    app.Api = asab.api.ApiService(app)
    app.Api.initialize_zookeeper()
    app.Zk = app.Api.ZkContainer
    app.Web.WebApp.router._frozen = False
    app.Api.initialize_web(app.Web)
    say(len((await record_of(app))["web"]))
run(program, Late())
""",
        SERVICE_ID="late",
        **on(zookeeper),
    )
    assert outcome.lines == ["1"], outcome.log


@pytest.mark.parametrize("when", ["initialize", "main"])
def test_made_later(zookeeper, when):
    """An ApiService made in initialize(), or when the application runs, advertises as well."""
    outcome = ours(
        SERVICE
        + f"""
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module, asab.web.Module])
    async def {when}(self):
        self.PubSub.subscribe("WebContainer.started!", self.started)
        self.Api = asab.api.ApiService(self)
        self.Api.initialize_web()
        self.Api.initialize_zookeeper()
        # Answered without waiting: empty, or this instance if it is advertised already.
        say(type(await self.Api.DiscoveryService.locate(service_id="later")).__name__)
    async def started(self, *_):
        await eventually(lambda: self.Api.DiscoveryService.locate(service_id="later"))
        say(self.Api.WebContainer is self.get_service("asab.WebService").Containers["web"])
        self.stop()
App().run()
""",
        SERVICE_ID="later",
        **on(zookeeper),
    )
    assert outcome.lines == ["set", "True"], outcome.log


def test_names_of_the_services():
    """The names given to the constructor, else the documented ones; each container has one service."""
    outcome = both(
        SERVICE
        + """
asab.Config.add_defaults({"other": {"listen": "0.0.0.0 0"}, "zookeeper": {"servers": "127.0.0.1:1"}})
app = Service()
web = asab.web.WebContainer(app.get_service("asab.WebService"), "other")
api = asab.api.ApiService(app, service_name="other.ApiService")
api.initialize_web(web)
discovery = asab.api.discovery.DiscoveryService(app, app.Zk, service_name="other.DiscoveryService")
say(app.get_service("asab.ApiService") is app.Api, app.get_service("other.ApiService") is api)
say(app.Api.DiscoveryService is app.get_service("asab.DiscoveryService"))
say(discovery is app.get_service("other.DiscoveryService"), api.WebContainer is web)
os._exit(0)
"""
    )
    assert outcome.lines == ["True True", "True", "True True"]


def test_create_web_server_with_api():
    """ApiService in one line: its endpoints, and without ZooKeeper nothing else."""
    outcome = both(
        """
load("web", "zookeeper", "api")
app = asab.Application(args=[])
router = asab.web.create_web_server(app, "mine", config={"listen": "127.0.0.1 0"}, api=True)
api = app.get_service("asab.ApiService")
say(api.WebContainer.WebApp.router is router, api.ZkContainer, app.get_service("asab.DiscoveryService"))
say(sorted({
    route.resource.canonical for route in router.routes()
} & {"/asab/v1/manifest", "/asab/v1/changelog"}))
"""
    )
    assert outcome.lines == ["True None None", "['/asab/v1/changelog', '/asab/v1/manifest']"]


def test_the_registry_of_this_machine(tmp_path):
    """The documented program runs without any server, is found and called."""
    outcome = ours(
        SERVICE
        + """
async def program(app):
    await eventually(lambda: app.Discovery.locate(service_id="here"))
    async with app.Discovery.session() as session:
        async with session.get("http://here.service_id.asab/asab/v1/manifest") as response:
            say(response.status)
    say((await record_of(app))["appclass"])
run(program, Service())
""",
        SERVICE_ID="here",
        PEERAGE_DIR=str(tmp_path / "registry"),
    )
    assert outcome.lines == ["404", "Service"], outcome.log
    warnings = [line for line in outcome.log.splitlines() if " WARNING peerage." in line]
    assert "No ZooKeeper servers are configured" in warnings[0]
    # On a busy machine the record isn't there at once, and isn't changed in time when the service stops.
    slow = ("No instances to discover", "Callers may not know that")
    assert [line for line in warnings[1:] if not any(words in line for words in slow)] == []
