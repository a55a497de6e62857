"""The row ``ApiService``: how it changes what it advertises: in place."""

import asyncio
import json
import time

from tests.asab.api.programs import SERVICE, on
from tests.asab.both import both, ours
from tests.asab.running import running
from tests.backends.zookeeper.support import bare_client

from peerage.testing import eventually
from peerage.testing.waiting import PATIENCE
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
    """The original has an assertion; a set isn't a list. Nothing changes."""
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
    """All calls that the original accepts work; values that can't be found are named once."""
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
    assert "2.5 can't be an id of 'shard': ids are integers and texts of 1 to 1000 characters." in before
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
    assert "0.1 can't be an id of 'load': ids are integers and texts" in line
    assert "The same is true of [True, '']." in line


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
    """The call raises the error, and nothing changes, in the record neither."""
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
    say((await app.Zk.get_data(f"run/{app.Api._registration.name}"))["attention_required"])
app = Service()
attempt(app)
run(program, app)
""",
        PEERAGE_REGISTRY="memory:",
        SERVICE_ID="x",
    )
    assert outcome.lines == [
        *["TypeError", "RecordError", "RegistryDeniedError"] * 2,
        "{'good': {'good': 1, '_c': ''}}",
        "{'good': {'good': 1, '_c': ''}}",
    ]


def test_what_is_said_goes_before_the_manifest(tmp_path):
    """A record without room for both has the program's data instead of the manifest."""
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"long": "x" * 60_000}))
    outcome = ours(
        SERVICE
        + """
async def program(app):
    say("long" in await record_of(app))
    try:
        app.Api.update_discovery({"shard": ["y" * 900 + str(number) for number in range(80)]})
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
    assert outcome.lines == ["True", "RegistryDeniedError", "False {}"], outcome.log
    assert outcome.log.count("Advertised without the content of MANIFEST.json") == 1


async def test_in_place(zookeeper):
    """The node stays; a watch of the folder reports only its creation and its deletion."""
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
    folder = f"{environ['TEST_PATH']}-ours/run"
    async with bare_client(zookeeper.address) as client, running(program, environ=environ) as one:
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
            await one.tell(command)
            await one.line()
            await asyncio.to_thread(shown, expected)
        assert seen == [[node]]
        await one.tell("stop")
        assert await one.end() == (0, [])
        await eventually(lambda: seen[-1] == [])


async def test_back_after_a_lost_session(zookeeper):
    """With what it had by then, once; the original waits up to five minutes."""
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
    async with Proxy(zookeeper.address) as proxy:
        environ = {**on(zookeeper), "TEST_SERVERS": proxy.address, "SERVICE_ID": "x"}
        async with running(program, environ=environ) as one:
            assert await one.line() == "ready"
            await proxy.refuse()
            assert await one.line() == "changed"
            await proxy.expire_sessions()
            await proxy.heal()
            assert [await one.line(), await one.line()] == ["1", "['meanwhile']"]
