"""The row ``ApiService``: when it advertises, and how it changes what it advertises: in place."""

import asyncio
import json
import time

import pytest
from kazoo.client import KazooClient
from tests.asab.api.programs import SERVICE, on
from tests.asab.both import both, ours
from tests.asab.running import running

from peerage.testing import eventually
from peerage.testing.view import PATIENCE
from peerage.testing.zookeeper import Proxy


def test_update_discovery(zookeeper):
    """The lists of the keys named are replaced, the others stay; integers are ids, too."""
    outcome = both(
        SERVICE
        + """
async def program(app):
    await record_of(app)
    for lists in ({"shard": [1, "2"], "colour": ["blue"]}, {"shard": [3]}, {"colour": ["red", "green"]}):
        app.Api.update_discovery(lists)
        key, values = next(iter(lists.items()))
        record = await record_of(app, lambda record: record.get("discovery", {}).get(key) == values)
        say(record["discovery"], app.Api.Discovery)
run(program, Service())
""",
        INSTANCE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines[1].startswith("{'shard': [3], 'colour': ['blue']}")


def test_update_discovery_takes_texts_and_lists():
    """The original asserts; a set is no list. Everything stays as it was."""
    outcome = ours(
        SERVICE
        + """
app = Service()
app.Api.update_discovery({"good": ["one", None]})
for wrong in (None, ["a"], {1: []}, {"a": {"b"}}, {"a": ("b",)}, {"a": "b"}, {"good": [2], "a": None}):
    try:
        app.Api.update_discovery(wrong)
    except TypeError as error:
        say(type(error).__name__)
say(app.Api.Discovery)
try:
    app.Api.update_discovery({"shard": {1, 2}})
except TypeError as error:
    say(error)
""",
        PEERAGE_REGISTRY="memory:",
        SERVICE_ID="x",
    )
    assert outcome.lines == [
        *["TypeError"] * 7,
        "{'good': ['one']}",
        (
            "update_discovery({'shard': {1, 2}}): write texts as keys and lists of ids, "
            'such as {"shard": [1, 2]}.'
        ),
    ]


def test_update_discovery_leaves_out_what_cant_be_an_id(zookeeper):
    """Whatever the original takes runs here as well; what others couldn't find is named once."""
    outcome = both(
        SERVICE
        + """
ODD = {
    "shard": [1, 1.5, True, "", {}, None, "two", "\\ud800"], "load": [0.37],
    "a.b": ["c"], "a b": ["c"], "ž": ["c"], "service_id": ["x"], "node_id": ["y"], "Instance-ID": ["z"],
    "colour": ["blue"],
}
async def program(app):
    app.Api.update_discovery({"load": [7]})
    for _ in range(3):
        say(app.Api.update_discovery(ODD))
    found = lambda record: record.get("discovery", {}).get("colour")
    record = await record_of(app, found)
    say([each for each in record["discovery"]["shard"] if each in (1, "two") and each is not True])
    if OURS:
        print(record["discovery"], record["service_id"], file=sys.stderr)
app = Service()
app.Api.update_discovery({"shard": [2.5]})
run(program, app)
""",
        SERVICE_ID="me",
        INSTANCE_ID="me-1",
        **on(zookeeper),
    )
    assert outcome.lines == ["None", "None", "None", "[1, 'two']"]
    assert "{'shard': [1, 'two'], 'colour': ['blue']} me\n" in outcome.log
    before, after = (line for line in outcome.log.splitlines() if " WARNING peerage.asab.api " in line)
    assert "2.5 can't be an id of 'shard': ids are texts and integers." in before
    assert "'shard'" not in after
    assert "0.37 can't be an id of 'load'" in after
    for key in ("a.b", "a b", "ž", "service_id", "node_id", "Instance-ID"):
        assert f"{key!r} can't be the key of a custom id: use A-Z, a-z, 0-9" in after


def test_what_is_left_out_is_named():
    """Each key once, with its ids; also where nothing is advertised yet."""
    outcome = ours(
        SERVICE
        + """
app = Service()
for load in (0.1, 0.2):
    app.Api.update_discovery({"good": ["one"], "load": [load, True, ""]})
say(app.Api.Discovery)
""",
        PEERAGE_REGISTRY="memory:",
        SERVICE_ID="x",
    )
    assert outcome.lines == ["{'good': ['one'], 'load': []}"]
    (line,) = (line for line in outcome.log.splitlines() if "update_discovery" in line)
    assert "0.1 can't be an id of 'load': ids are texts and integers. The same goes for [True, '']." in line


def test_attention(zookeeper):
    """With the time of its creation, under its id, until removed; what is unknown is nothing."""
    outcome = both(
        SERVICE
        + """
TIME = r"\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z"
async def program(app):
    say("attention_required" in await record_of(app))
    first = app.Api.attention_required({"message": "disk full"})
    say(re.fullmatch("[0-9a-f]{32}", first) is not None)
    say(app.Api.attention_required({"message": "hot", "_c": "then"}, att_id="heat"))
    record = await record_of(app, lambda record: len(record.get("attention_required", ())) == 2)
    attention = record["attention_required"]
    say(attention["heat"], list(attention[first]), re.fullmatch(TIME, attention[first]["_c"]) is not None)
    app.Api.attention_required({"message": "hotter", "_c": "now"}, "heat")
    record = await record_of(app, lambda record: record["attention_required"]["heat"]["_c"] == "now")
    say(len(record["attention_required"]))
    app.Api.remove_attention(first)
    app.Api.remove_attention("unknown")
    await record_of(app, lambda record: len(record["attention_required"]) == 1)
    app.Api.remove_attention("heat")
    await record_of(app, lambda record: "attention_required" not in record)
    say(app.Api.AttentionRequired)
run(program, Service())
""",
        INSTANCE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines[-1] == "{}"


def test_attention_that_cannot_be_shown():
    """It is refused where it is said; everything stays as it was, in the record as well."""
    outcome = ours(
        SERVICE
        + """
def attempt(app):
    for wrong in ("text", {"bad": object()}, {"large": "x" * 100_000}):
        try:
            app.Api.attention_required(wrong)
        except Exception as error:
            say(type(error).__name__)
async def program(app):
    await eventually(lambda: app.Api._registration)
    app.Api.attention_required({"good": 1, "_c": ""}, "good")
    attempt(app)
    say(app.Api.AttentionRequired)
    say((await app.Zk.get_data(f"run/{app.Api._registration.node}"))["attention_required"])
app = Service()
attempt(app)
run(program, app)
""",
        PEERAGE_REGISTRY="memory:",
        SERVICE_ID="x",
    )
    assert outcome.lines == [
        *["TypeError", "RecordError", "RegistryDenied"] * 2,
        "{'good': {'good': 1, '_c': ''}}",
        "{'good': {'good': 1, '_c': ''}}",
    ]


def test_what_is_said_goes_before_the_manifest(tmp_path):
    """A record that has no room for both shows what the program says."""
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"long": "x" * 60_000}))
    outcome = ours(
        SERVICE
        + """
async def program(app):
    say("long" in await record_of(app))
    try:
        app.Api.update_discovery({"shard": ["y" * 70_000]})
    except Exception as error:
        say(type(error).__name__)
    app.Api.attention_required({"_c": "z" * 10_000}, "it")
    record = await record_of(app, lambda record: "attention_required" in record)
    say("long" in record, app.Api.Discovery)
run(program, Service())
""",
        PEERAGE_REGISTRY="memory:",
        SERVICE_ID="x",
        cwd=tmp_path,
    )
    assert outcome.lines == ["True", "RegistryDenied", "False {}"], outcome.log
    assert outcome.log.count("Advertised without what MANIFEST.json says") == 1


def test_an_application_whose_name_is_not_ascii(zookeeper):
    """Its record says so; the name of the node is opaque."""
    outcome = both(
        SERVICE
        + """
class Služba(Service):
    pass
async def program(app):
    record = await record_of(app)
    say(record["appclass"])
run(program, Služba())
""",
        INSTANCE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines == ["Služba"]


async def test_in_place(zookeeper):
    """Same node, never gone; whoever watches the folder sees nothing but the beginning and the end."""
    environ = {**on(zookeeper), "SERVICE_ID": "x"}
    program = (
        SERVICE
        + """
async def program(app):
    await record_of(app)
    say("ready")
    loop = asyncio.get_running_loop()
    while (line := await loop.run_in_executor(None, sys.stdin.readline)) != "stop\\n":
        say(eval(line))
run(program, Service())
"""
    )
    client = KazooClient(zookeeper.address)
    await asyncio.to_thread(client.start)
    folder = f"{environ['TEST_PATH']}-ours/run"
    try:
        async with running(program, environ=environ) as one:
            assert await one.line() == "ready"
            (node,) = await asyncio.to_thread(client.get_children, folder)
            seen: list[list[str]] = []

            def shown(text: bytes) -> None:
                deadline = time.monotonic() + PATIENCE
                while text not in client.get(f"{folder}/{node}")[0]:
                    assert time.monotonic() < deadline, text

            client.ChildrenWatch(folder, seen.append)
            for command, expected in (
                ('app.Api.update_discovery({"a": ["b"]})', b'"discovery"'),
                ('app.Api.attention_required({"c": 1}, "d")', b'"attention_required"'),
                ('app.Api.remove_attention("d") or app.Api.update_discovery({"e": ["last"]})', b'"last"'),
            ):
                one.tell(command)
                await one.line()
                await asyncio.to_thread(shown, expected)
            assert seen == [[node]]
            one.tell("stop")
            assert await one.end() == (0, [])
            await eventually(lambda: seen[-1] == [])
    finally:
        await asyncio.to_thread(client.stop)
        await asyncio.to_thread(client.close)


async def test_back_after_a_lost_session(zookeeper):
    """With what it had by then, once; the original waits up to five minutes."""
    proxy = Proxy(zookeeper.address)
    await proxy.start()
    environ = {**on(zookeeper), "TEST_SERVERS": proxy.address, "SERVICE_ID": "x"}
    program = (
        SERVICE
        + """
import kazoo.exceptions
async def program(app):
    before = await node_of(app)
    say("ready")
    await app.PubSub.message("ZooKeeperContainer.state/SUSPENDED!")
    app.Api.update_discovery({"changed": ["meanwhile"]})
    say("changed")
    async def another():
        try:
            nodes = await app.Zk.get_children("run")
        except kazoo.exceptions.KazooException:
            return False  # asked in the session that ends
        return nodes not in ([before], []) and nodes
    say(len(await eventually(another)))
    say((await record_of(app, lambda record: "changed" in record["discovery"]))["discovery"]["changed"])
run(program, Service())
"""
    )
    try:
        async with running(program, environ=environ) as one:
            assert await one.line() == "ready"
            await proxy.refuse()
            assert await one.line() == "changed"
            await proxy.expire_sessions()
            await proxy.heal()
            assert [await one.line(), await one.line()] == ["1", "['meanwhile']"]
    finally:
        await proxy.aclose()


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
    """Everything made in initialize(), or when the application runs, is advertised as well."""
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
        # Answered in the same step: nobody is there yet, or else this one.
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
    """What the constructor says, else the documented ones; several containers have one each."""
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
    assert [line for line in warnings[1:] if "No instances to discover" not in line] == []
