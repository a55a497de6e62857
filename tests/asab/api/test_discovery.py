"""The rows ``DiscoveryService``: ``locate``, ``discover``, records and the resolver, beside the original."""

import ast
import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient
from tests.asab.api.programs import LOOKER, SERVICE, on
from tests.asab.both import both, ours
from tests.interop.cases import BASE, CASES, QUERIES, Reason, label
from tests.interop.original import Original, original


class Folder:
    """The records of both sides' folders."""

    def __init__(self, client: KazooClient, path: str) -> None:
        self._client = client
        self._path = path

    def put(self, **record: Any) -> None:
        """Add a record."""
        for side in ("ours", "theirs"):
            self._client.create(
                f"{self._path}-{side}/run/App.",
                json.dumps(record).encode(),
                ephemeral=True,
                sequence=True,
                makepath=True,
            )


@pytest.fixture
def client(zookeeper) -> Iterator[KazooClient]:
    """Of neither side."""
    client = KazooClient(zookeeper.address)
    client.start()
    yield client
    client.stop()
    client.close()


@pytest.fixture
def environ(zookeeper) -> dict[str, str]:
    return on(zookeeper)


@pytest.fixture
def folder(client, environ) -> Folder:
    """Four services of three kinds."""
    folder = Folder(client, environ["TEST_PATH"])
    for number, (service, web) in enumerate(
        (
            ("orders", [["0.0.0.0", 8001]]),
            ("orders", [["0.0.0.0", 8002], ["::", 8002]]),
            ("prices", [["0.0.0.0", 8003], None]),
            ("worker", None),
        )
    ):
        folder.put(
            host=f"node-{number}",
            appclass="App",
            launch_time="2024-05-01T10:00:00.000000Z",
            process_id=number,
            instance_id=f"{service}-{number}",
            service_id=service,
            node_id=f"node-{number}",
            **({} if web is None else {"web": [entry for entry in web if entry]}),
            discovery={"shard": [number % 2, str(number)], "colour": ["blue"], "odd": ["None"]},
        )
    return folder


def test_locate(folder, environ):
    """Keywords and one instance: a union; of others nothing if an instance is named; None for no question."""
    outcome = both(
        LOOKER
        + """
async def program(app):
    locate = app.Discovery.locate
    await app.found(3)
    for args, kwargs in (
        ((), {"service_id": "orders"}), (("prices-2",), {}), ((), {"instance_id": "orders-0"}),
        ((), {"service_id": "orders", "instance_id": "prices-2"}),
        ((), {"service_id": "prices", "shard": 0}), ((), {"shard": "1"}), ((), {"shard": 1}),
        ((), {"colour": "blue"}), ((), {"colour": "red"}), ((), {"unknown": "x"}), ((), {"service_id": None}),
        ((), {"service_id": "worker"}), ((None,), {"service_id": "prices"}), ((), {}), ((None,), {}),
    ):
        say(args, kwargs, shown(await locate(*args, **kwargs)))
    for params in ({"service_id": "orders"}, {"service_id": "prices", "colour": "blue"}, {"x": "y"}, {}):
        say(sorted((host, port, int(family)) for host, port, family in await app.Discovery._locate(params)))
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines[0].endswith("['http://node-0:8001', 'http://node-1:8002']")
    assert outcome.lines[3].endswith("['http://node-2:8003']")
    assert outcome.lines[13] == "() {} None"
    assert outcome.log.count("locate() needs an id") == 2


def test_locate_with_a_dictionary(folder, environ):
    """As documented, where the original fails: all criteria have to match."""
    outcome = ours(
        LOOKER
        + """
async def program(app):
    await app.found(3)
    for criteria in ({"service_id": "orders"}, {"service_id": "orders", "shard": 1},
                     {"service_id": "orders", "colour": "red"}, {"node_id": "node-2"},
                     {"service_id": "orders", "odd": None}, {}):
        say(shown(await app.Discovery.locate(criteria)))
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines == [
        "['http://node-0:8001', 'http://node-1:8002']",
        "['http://node-1:8002']",
        "[]",
        "['http://node-2:8003']",
        "[]",
        "None",
    ], outcome.log


def test_locate_an_entry_bound_to_one_address(client, environ):
    """The address itself, IPv6 in brackets; the original passes such entries by."""
    Folder(client, environ["TEST_PATH"]).put(
        host="node", instance_id="one", web=[["192.0.2.7", 80], ["2001:db8::7", 81, 0, 0], ["127.0.0.1", 82]]
    )
    outcome = ours(
        LOOKER
        + """
async def program(app):
    await app.found(1)
    say(shown(await app.Discovery.locate("one")))
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines == ["['http://192.0.2.7:80', 'http://[2001:db8::7]:81']"]


def test_discover(folder, environ):
    """Exactly the original's keys, values as advertised, families; what is returned is the caller's own."""
    outcome = both(
        LOOKER
        + """
async def program(app):
    await app.found(3)
    found = await app.Discovery.discover()
    for key in sorted(found):
        for value in sorted(found[key], key=repr):
            say(key, repr(value), sorted((host, port, family.name) for host, port, family in
                ((host, port, socket.AddressFamily(family)) for host, port, family in found[key][value])))
    found["service_id"].clear()
    del found["colour"]
    say(len(await app.Discovery.discover()), len((await app.Discovery.discover())["service_id"]))
run(program, Looker())
""",
        **environ,
    )
    assert "shard 0 [('node-0', 8001, 'AF_INET'), ('node-2', 8003, 'AF_INET')]" in outcome.lines
    assert "shard '0' [('node-0', 8001, 'AF_INET')]" in outcome.lines
    assert not [line for line in outcome.lines if line.startswith("node_id")]


def test_discover_has_keys_without_values(client, environ):
    """As the original has them: a service that gave up its ids has none, and its key is there."""
    folder = Folder(client, environ["TEST_PATH"])
    folder.put(host="a", instance_id="a-1", service_id="a", web=[["0.0.0.0", 1]], discovery={"shard": []})
    outcome = both(
        LOOKER
        + """
async def program(app):
    await app.found(1)
    say((await app.Discovery.discover())["shard"])
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines == ["{}"]


def test_records(folder, environ):
    """All of them, each with the name of its node, fresh for each caller."""
    outcome = both(
        LOOKER
        + """
async def program(app):
    await app.found(3)
    found = await app.Discovery.get_advertised_instances()
    say(type(found).__name__, len(found))
    for record in sorted(found, key=lambda record: record["ephemeral_id"]):
        say(json.dumps(record, sort_keys=True))
    found[0].clear()
    say(all(await app.Discovery.get_advertised_instances()))
run(program, Looker())
""",
        **environ,
    )
    assert json.loads(outcome.lines[1])["ephemeral_id"] == "App.0000000000"


def test_raw_records(folder, environ):
    """Of the newest original: by the names of their nodes."""
    outcome = ours(
        LOOKER
        + """
async def program(app):
    await app.found(3)
    found = await app.Discovery.discover_raw()
    say(sorted(found), found["App.0000000002"]["service_id"])
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines == [f"{[f'App.000000000{number}' for number in range(4)]} prices"]


def test_resolver(client, environ):
    """For a connector of the user's own: aiohttp's dictionaries, with the ports of the instances."""
    folder = Folder(client, environ["TEST_PATH"])
    folder.put(host="127.0.0.1", instance_id="a-1", service_id="a", web=[["0.0.0.0", 8001]])
    folder.put(host="127.0.0.1", instance_id="a-2", service_id="a", web=[["0.0.0.0", 8002]])
    folder.put(host="no.such.host.invalid", instance_id="b-1", service_id="b", web=[["0.0.0.0", 8003]])
    outcome = both(
        LOOKER
        + """
async def program(app):
    await app.found(3)
    resolver = asab.api.discovery.DiscoveryResolver(app.Discovery)
    say(resolver.DiscoveryService is app.Discovery)
    for host, port in (("a.service_id.asab", 0), ("a-2.instance_id.asab", 9999), ("127.0.0.1", 80)):
        found = await resolver.resolve(host, port)
        say(sorted((entry["host"], entry["port"], int(entry["family"])) for entry in found))
        keys = {"hostname", "host", "port", "family", "proto", "flags"}
        assert all(keys <= entry.keys() for entry in found)
    for host in ("b.service_id.asab", "c.service_id.asab", "x.asab"):
        try:
            await resolver.resolve(host)
        except asab.api.discovery.NotDiscoveredError as error:
            say("NotDiscoveredError")
    await resolver.close()
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines[1] == "[('127.0.0.1', 8001, 2), ('127.0.0.1', 8002, 2)]"
    assert outcome.lines[4:] == ["NotDiscoveredError"] * 3


def test_resolver_asks_the_service_and_answers_with_all(client, environ):
    """It is aiohttp's resolver, asks ``_locate()``, which a program may override, and drops no host."""
    folder = Folder(client, environ["TEST_PATH"])
    for number in range(12):
        folder.put(
            host=f"127.0.0.{number + 1}", instance_id=f"a-{number}", service_id="a", web=[["0.0.0.0", 8000]]
        )
    outcome = both(
        LOOKER
        + """
import aiohttp
class Own(asab.api.discovery.DiscoveryService):
    async def _locate(self, locate_params):
        say(locate_params)
        return {("127.0.0.99", 99, socket.AF_INET)}
async def program(app):
    await app.found(12)
    resolver = asab.api.discovery.DiscoveryResolver(app.Discovery)
    say(isinstance(resolver, aiohttp.DefaultResolver), len(await resolver.resolve("a.service_id.asab")))
    resolver.DiscoveryService = Own(app, app.Zk, "own")
    say([(entry["host"], entry["port"]) for entry in await resolver.resolve("b.colour.asab")])
    await resolver.close()
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines == ["True 12", "{'colour': 'b'}", "[('127.0.0.99', 99)]"], outcome.log


def test_resolver_and_families(client, environ):
    """An instance is found by the family it has, whatever is asked for, also beside one of another family."""
    folder = Folder(client, environ["TEST_PATH"])
    folder.put(host="::1", instance_id="six", service_id="mixed", web=[["::", 8001]])
    folder.put(host="127.0.0.1", instance_id="four", service_id="mixed", web=[["0.0.0.0", 8002]])
    outcome = both(
        LOOKER
        + """
async def program(app):
    await app.found(2)
    resolver = asab.api.discovery.DiscoveryResolver(app.Discovery)
    for name in ("six", "four"):
        for families in ((), (socket.AF_INET,), (socket.AF_INET6,), (socket.AF_UNSPEC,)):
            found = await resolver.resolve(f"{name}.instance_id.asab", 0, *families)
            say([(entry["host"], entry["port"], int(entry["family"])) for entry in found])
    for family in (socket.AF_INET, socket.AF_INET6):
        found = await resolver.resolve("mixed.service_id.asab", 0, family)
        say(sorted(entry["port"] for entry in found))
    try:
        await resolver.resolve("127.0.0.1", 0, socket.AF_INET6)
    except OSError as error:
        say(type(error).__name__)
    await resolver.close()
run(program, Looker())
""",
        **environ,
    )
    assert outcome.lines == [
        *["[('::1', 8001, 10)]"] * 4,
        *["[('127.0.0.1', 8002, 2)]"] * 4,
        *["[8001, 8002]"] * 2,
        "gaierror",
    ]


#: Records with which the original's scan doesn't end in an error: there is something to compare.
COMPARABLE = [case for case in CASES if "scan" not in case.differs]

#: Differences that this layer hasn't: it asks as the original does,
GONE = {Reason.ALL_CRITERIA, Reason.INSTANCE_FIRST}
#: and what it discovers has the original's keys and values.
DISCOVERED_ALIKE = {"node_id", "site_id", "custom text and number"}

ANSWERS = (
    SERVICE
    + """
from peerage.asab.zookeeper import ZooKeeperContainer
FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}
class Looker(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module])
    async def answers(self, number, path, queries):
        container = ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), z_path=path)
        discovery = asab.api.discovery.DiscoveryService(self, container, f"discovery {number}")
        found = {
            (key, repr(value)): sorted([host, port, FAMILIES[family]] for host, port, family in addresses)
            for key, values in (await discovery.discover()).items()
            for value, addresses in values.items()
        }
        return found, [sorted(await discovery.locate(**query)) for query in queries]
async def program(app):
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for number, (path, queries) in enumerate(jobs):
        say(await app.answers(number, path, queries))
run(program, Looker())
"""
)


async def theirs(peer: Original, path: str, queries: list[dict[str, Any]]) -> tuple[Any, Any]:
    """What the original finds there."""
    reply = await peer.tell("answers", [path, queries])
    return {(key, repr(value)): addresses for key, value, addresses in reply["discover"]}, reply["locate"]


async def test_every_case_is_answered_as_by_the_original(zookeeper, client, environ, tmp_path):
    """The records and questions by which discovery itself is compared; fewer differences are stated here."""
    base = environ["TEST_PATH"]
    jobs = []
    for number, case in enumerate(COMPARABLE):
        path = f"{base}/{number}"
        for data, ephemeral in (
            (json.dumps(BASE).encode(), True),
            *(() if case.before is None else ((json.dumps(case.before).encode(), True),)),
            (case.data, case.ephemeral),
        ):
            await asyncio.to_thread(
                client.create, f"{path}/run/App.", data, ephemeral=ephemeral, sequence=True, makepath=True
            )
        jobs.append([path, [*QUERIES, *case.queries]])
    (tmp_path / "jobs").write_text(json.dumps(jobs))
    outcome = await asyncio.to_thread(ours, ANSWERS, str(tmp_path / "jobs"), **environ)
    answers = [ast.literal_eval(line) for line in outcome.lines]
    assert len(answers) == len(COMPARABLE), outcome.log
    surprises = {}
    async with original(zookeeper.address, f"{base}/itself") as peer:
        for case, (path, queries), here in zip(COMPARABLE, jobs, answers, strict=True):
            there = await theirs(peer, path, queries)
            differs = {"discover"} if here[0] != there[0] else set()
            differs |= {
                label(query)
                for query, one, other in zip(queries, here[1], there[1], strict=True)
                if one != other
            }
            expected = set() if case.why is None or case.why in GONE else set(case.differs)
            expected -= {"discover"} if case.name in DISCOVERED_ALIKE else set()
            if differs != expected:
                surprises[case.name] = (expected, differs, here, there)
    assert not surprises, "\n".join(f"{name}: {what}" for name, what in surprises.items())
