"""The row ``ApiService``: the record that it advertises, field by field."""

import asyncio
import json

import pytest
from tests.asab.api.programs import SERVICE, on
from tests.asab.both import both, ours, theirs
from tests.asab.running import running
from tests.interop.original import original

from peerage.testing.waiting import PATIENCE

#: What is the same on both sides but for the values that can't be.
SHOW = """
def shown(app, record):
    assert record.pop("peerage", OURS) is not OURS or not OURS
    assert record.pop("process_id") == os.getpid()
    assert re.fullmatch(r"\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z", record.pop("launch_time"))
    assert record["host"] == app.HostName
    ports = {address[1]: "PORT" for address in app.Web.Addresses}
    # What a container is, is seen in different ways.
    record.pop("containerized", None)
    record["web"] = sorted({(entry[0], ports[entry[1]]) for entry in record["web"]})
    return json.dumps(record, sort_keys=True)
"""

MANIFEST = {
    "created_at": "2024-05-01T10:00:00.000000Z",
    "version": "v24.17",
    "CI_COMMIT_SHA": "0123abcd",
    "CI_JOB_ID": "77",
    "CI_RUNNER_ID": 5,
    "CI_RUNNER_EXECUTABLE_ARCH": "linux/amd64",
}

IDS = {
    "INSTANCE_ID": "my-application-1",
    "SERVICE_ID": "my-application",
    "NODE_ID": "node-1",
    "SITE_ID": "site-1",
}


@pytest.fixture
def folder(tmp_path):
    """Where a service is started, with its manifest, change log and configuration."""
    (tmp_path / "MANIFEST.json").write_text(json.dumps(MANIFEST))
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n")
    (tmp_path / "my.conf").write_text(
        "[web]\nlisten=0.0.0.0 0\n\n[zookeeper]\nservers=$TEST_SERVERS\npath=$TEST_PATH$TEST_SIDE\n"
    )
    return tmp_path


def documented(server) -> dict[str, str]:
    """The environment of the documented program; of ZooKeeper it knows by its configuration only."""
    return {**on(server), **IDS, "ASAB_HOSTNAME": "127.0.0.1"}


def test_documented_program(zookeeper, folder):
    """Configuration file, environment, manifest: the same record as the original's, and one key more."""
    outcome = both(
        SERVICE.replace('if "TEST_SERVERS" in os.environ', "if False")
        + SHOW
        + """
class MyApplication(Service):
    pass
async def program(app):
    say(await node_of(app))
    say(shown(app, await record_of(app)))
run(program, MyApplication(sys.argv[1:]))
""",
        *("-c", str(folder / "my.conf")),
        cwd=folder,
        **documented(zookeeper),
    )
    assert outcome.lines[0] == "MyApplication.0000000000"
    record = json.loads(outcome.lines[1])
    assert record.keys() == {
        *("appclass", "host", "web", "instance_id", "service_id", "node_id", "site_id"),
        *MANIFEST,
    }
    assert (record["appclass"], record["host"]) == ("MyApplication", "127.0.0.1")
    assert record["web"] == [["0.0.0.0", "PORT"]]
    assert {key.upper(): record[key] for key in ("instance_id", "service_id", "node_id", "site_id")} == IDS
    assert {key: record[key] for key in MANIFEST} == MANIFEST


async def test_read_and_called_by_the_original(zookeeper, folder):
    """A service of asab 25.15 in the same cluster: what it reads has one key more, and it calls by name."""
    environ = documented(zookeeper)
    program = (
        SERVICE
        + """
class MyApplication(Service):
    def __init__(self, args):
        super().__init__(args)
        self.Web.WebApp.router.add_get("/hello", self.hello)
    async def hello(self, request):
        return asab.web.rest.json_response(request, {"hello": os.environ["SERVICE_ID"]})
MyApplication(sys.argv[1:]).run()
"""
    )
    path = f"{environ['TEST_PATH']}-ours".strip("/")

    async def found(key: str, value: str, *, there: bool = True) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while bool(await peer.tell("locate", {key: value})) is not there:
            assert asyncio.get_running_loop().time() < deadline, value
            await asyncio.sleep(0.02)

    async with (
        original(zookeeper.address, path, SERVICE_ID="other") as peer,
        running(program, "-c", str(folder / "my.conf"), cwd=folder, environ=environ) as one,
    ):
        for value, key in (("my-application-1", "instance_id"), ("my-application", "service_id")):
            await found(key, value)
            status, text = await peer.tell("get", f"http://{value}.{key}.asab/hello")
            assert (status, json.loads(text)) == (200, {"hello": "my-application"})
        (record,) = [
            record
            for record in await peer.tell("instances", None)
            if record["ephemeral_id"].startswith("MyApplication.")
        ]
        known = {"host", "appclass", "launch_time", "process_id", "web", "containerized", "ephemeral_id"}
        assert record.keys() - known - MANIFEST.keys() - {key.lower() for key in IDS} == {"peerage"}
        one.terminate()
        assert (await one.end())[0] == 0
        await found("service_id", "my-application", there=False)


def test_environment_is_read_at_each_advertisement(zookeeper):
    """Set after the import it counts, changed later with the next change; absent without its variable."""
    outcome = both(
        SERVICE
        + """
os.environ.update(INSTANCE_ID="one", SERVICE_ID="first")
KEYS = ("instance_id", "service_id", "node_id", "site_id")
async def program(app):
    record = await record_of(app)
    say([(key, record[key]) for key in KEYS if key in record])
    del os.environ["SERVICE_ID"]
    os.environ["NODE_ID"] = "n"
    app.Api.update_discovery({"a": ["b"]})
    record = await record_of(app, lambda record: "discovery" in record)
    say([(key, record[key]) for key in KEYS if key in record])
run(program, Service())
""",
        **on(zookeeper),
    )
    assert outcome.lines == [
        "[('instance_id', 'one'), ('service_id', 'first')]",
        "[('instance_id', 'one'), ('node_id', 'n')]",
    ]


def test_service_id_without_an_instance_id(zookeeper):
    """It is among the custom ids as well, by which the original finds it."""
    outcome = ours(
        SERVICE
        + """
async def program(app):
    app.Api.update_discovery({"colour": ["blue"]})
    say((await record_of(app))["discovery"])
run(program, Service())
""",
        SERVICE_ID="lonely",
        **on(zookeeper),
    )
    assert outcome.lines == ["{'colour': ['blue'], 'service_id': ['lonely']}"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({}, "set SERVICE_ID and INSTANCE_ID in its environment"),
        ({"SERVICE_ID": "Mine", "INSTANCE_ID": "x"}, "should be lower case"),
        ({"SERVICE_ID": "mine"}, None),
        ({"NODE_ID": "mine"}, None),
    ],
)
def test_warnings_about_ids(zookeeper, ids, message):
    """One of each advertised service, however often it changes."""
    outcome = ours(
        SERVICE
        + """
async def program(app):
    await record_of(app)
    app.Api.update_discovery({"a": [1]})
    await record_of(app, lambda record: record.get("discovery", {}).get("a"))
run(program, Service())
""",
        **on(zookeeper),
        **ids,
    )
    warnings = [
        line
        for line in outcome.log.splitlines()
        if " WARNING peerage." in line and "drains" not in line  # a busy server may take longer for that
    ]
    assert len(warnings) == (message is not None), warnings
    assert all(message in warning for warning in warnings)


def test_what_runs_wins_over_the_manifest(zookeeper, tmp_path):
    """In the original such a file replaces the host and other fields, and the service can't be called."""
    (tmp_path / "MANIFEST.json").write_text(
        json.dumps({"host": "build-machine", "service_id": "x", "peerage": 1, "version": "v1"})
    )
    program = (
        SERVICE
        + """
async def program(app):
    record = await record_of(app)
    say(record["host"] == app.HostName, record["version"], record.get("service_id"))
run(program, Service())
"""
    )
    environ = {**on(zookeeper), "SERVICE_ID": "real"}
    assert theirs(program, cwd=tmp_path, **environ).lines == ["False v1 x"]
    assert ours(program, cwd=tmp_path, **environ).lines == ["True v1 real"]


@pytest.mark.parametrize("broken", [b"{", b"[1]", b"\xff", b'{"a": NaN}', b"\0"])
def test_a_broken_manifest(zookeeper, tmp_path, broken):
    """It is logged, and the service is advertised without it."""
    (tmp_path / "MANIFEST.json").write_bytes(broken)
    outcome = ours(
        SERVICE
        + """
async def program(app):
    say("version" in await record_of(app), app.Api.Manifest)
run(program, Service())
""",
        cwd=tmp_path,
        SERVICE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines == ["False {}"]
    assert outcome.log.count(" ERROR peerage.") == 1
    assert "MANIFEST.json" in outcome.log


def test_a_manifest_too_large_for_a_record(zookeeper, tmp_path):
    """The record is written without it, which is logged once; the endpoint has it all."""
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"noise": "x" * 100_000}))
    outcome = ours(
        SERVICE
        + """
async def program(app):
    say("noise" in await record_of(app), "noise" in app.Api.Manifest)
    app.Api.update_discovery({"shard": [1]})
    say("noise" in await record_of(app, lambda record: "discovery" in record))
run(program, Service())
""",
        cwd=tmp_path,
        SERVICE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines == ["False True", "False"], outcome.log
    assert outcome.log.count("Advertised without the content of MANIFEST.json") == 1


def test_the_manifest_comes_back_when_there_is_room_for_it(zookeeper, tmp_path):
    """One record that was too large doesn't cost the manifest for good."""
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"version": "v1", "noise": "x" * 40_000}))
    outcome = ours(
        SERVICE
        + """
async def program(app):
    say("version" in await record_of(app))
    attention = app.Api.attention_required({"noise": "x" * 40_000})
    say("version" in await record_of(app, lambda record: "attention_required" in record))
    app.Api.remove_attention(attention)
    say("version" in await record_of(app, lambda record: "attention_required" not in record))
run(program, Service())
""",
        cwd=tmp_path,
        SERVICE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines == ["True", "False", "True"], outcome.log


def test_where_manifest_and_changelog_are_looked_for(tmp_path):
    """[general] names them; else beside the program, after the places of a container."""
    for name in ("MANIFEST.json", "named.json"):
        (tmp_path / name).write_text(json.dumps({"version": name}))
    for name in ("CHANGELOG.md", "named.md"):
        (tmp_path / name).write_text(name)
    empty = tmp_path / "empty"
    empty.mkdir()
    program = """
load("web", "zookeeper", "api")
if len(sys.argv) > 1:
    asab.Config.add_defaults({"general": {"manifest": sys.argv[1], "changelog": sys.argv[2]}})
api = asab.api.ApiService(asab.Application(args=[]))
say(api.Manifest, api.ChangeLog)
"""
    beside = ["{'version': 'MANIFEST.json'} CHANGELOG.md"]
    assert both(program, cwd=tmp_path).lines == beside
    named = both(program, "named.json", "named.md", cwd=tmp_path)
    assert named.lines == ["{'version': 'named.json'} named.md"]
    assert both(program, cwd=empty).lines == ["None None"]
    outcome = ours(program, "no.json", "no.md", cwd=tmp_path)
    assert outcome.lines == beside
    assert "[general] manifest names no.json, which is no file" in outcome.log
    assert "[general] changelog=no.md: there is no such file" in outcome.log


def test_web_addresses(zookeeper):
    """All bound addresses, each once; the scheme is under the key ``peerage``."""
    outcome = ours(
        SERVICE
        + """
def free():
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return probe.getsockname()[1]
asab.Config.set("web", "listen", f"{free()}\\n127.0.0.1 0")
async def program(app):
    record = await record_of(app)
    say(record["web"] == [list(address[:2]) for address in app.Web.Addresses], record["peerage"]["scheme"])
    say({address for address, *_ in record["web"]} - {"::"} == {"0.0.0.0", "127.0.0.1"})
run(program, Service())
""",
        SERVICE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines == ["True http", "True"]


def test_an_application_whose_name_is_not_ascii(zookeeper):
    """The record has it; the name of the node is opaque."""
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
