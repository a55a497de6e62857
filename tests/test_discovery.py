"""The façade, on memory:, except its sessions."""

import asyncio
import itertools
import logging
import math
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from peerage import Discovery, Identity, open_registry
from peerage.changes import Changed, Joined, Left
from peerage.errors import (
    ConfigurationError,
    NotReadyError,
    RecordError,
    RegistryClosedError,
    RegistryDeniedError,
)
from peerage.records.instance import decode

NUMBERS = itertools.count()

SOURCES = Path(__file__).parents[1] / "src"


@pytest.fixture
def url():
    """A registry nobody else has."""
    return f"memory:discovery-{next(NUMBERS)}"


@pytest.fixture
async def registry(url):
    """The participant that the Discovery under test uses, to be put out of touch."""
    registry = open_registry(url)
    yield registry
    await registry.aclose()


@pytest.fixture
async def discovery(registry):
    async with Discovery(
        registry, identity=Identity(host="node-1", service_id="orders", instance_id="1")
    ) as one:
        yield one


@pytest.fixture
async def observer(url):
    """Somebody else's Discovery."""
    async with Discovery(url) as other:
        await other.ready()
        yield other


async def seen(observer, wanted):
    """Wait, change by change, until the instances that the observer knows are as *wanted*."""
    changes = observer.changes()
    try:
        while not wanted(observer.directory.find()):
            await anext(changes)
    finally:
        await changes.aclose()


async def turns():
    """Let everything happen that needs nothing from outside."""
    for _ in range(10):
        await asyncio.sleep(0)


class TestAdvertise:
    async def test_it_returns_once_registered(self, discovery, observer):
        """Others find it by any of its ids."""
        registration = await discovery.advertise(port=8080, ids={"shard": [1, 2]})
        assert registration.name
        assert registration.name.startswith("Application.")
        await seen(observer, len)
        for ids in ({"service_id": "orders"}, {"instance_id": "1"}, {"shard": 2}, {"service-id": "ORDERS"}):
            assert await observer.locate(ids) == {"http://node-1:8080"}

    async def test_the_environment_is_read_at_each_advertisement(self, registry, observer, monkeypatch):
        """Not at import, not when the Discovery is made."""
        async with Discovery(registry) as discovery:
            for number in "12":
                monkeypatch.setenv("INSTANCE_ID", number)
                monkeypatch.setenv("ASAB_HOSTNAME", f"node-{number}")
                await discovery.advertise(port=80)
            await seen(observer, lambda found: len(found) == 2)
            assert await observer.locate(instance_id=1) == {"http://node-1:80"}
            assert await observer.locate(instance_id=2) == {"http://node-2:80"}

    async def test_everything_given_is_advertised(self, discovery, observer):
        """web, scheme, appclass, weight and extra."""
        await discovery.advertise(
            web=[("10.0.0.1", 443)], scheme="https", appclass="Orders", weight=3, extra={"version": "v1"}
        )
        await seen(observer, len)
        (instance,) = await observer.instances()
        assert instance.urls == ("https://10.0.0.1:443",)
        assert instance.name.startswith("Orders.")
        assert instance.appclass == "Orders"
        assert instance.weight == 3
        assert instance.record()["version"] == "v1"

    async def test_without_port_and_web_it_is_there_but_not_called(self, discovery, observer):
        """As a worker is."""
        await discovery.advertise()
        await seen(observer, len)
        assert len(await observer.instances(service_id="orders")) == 1
        assert await observer.locate(service_id="orders") == set()

    async def test_port_and_web_contradict_each_other(self, discovery):
        """One of them, and nothing was advertised."""
        with pytest.raises(ConfigurationError, match="not both"):
            await discovery.advertise(port=1, web=[("0.0.0.0", 1)])
        assert not discovery.registry._advertisements

    @pytest.mark.parametrize(
        "wrong", [{"port": 0}, {"scheme": "ftp"}, {"ids": {"a.b": 1}}, {"extra": {"web": 1}}]
    )
    async def test_what_isnt_valid_is_refused_at_once(self, discovery, wrong):
        """And nothing of it stays."""
        with pytest.raises(RecordError):
            await discovery.advertise(**wrong)
        assert not discovery._registrations
        assert not discovery.registry._advertisements

    @pytest.mark.parametrize("wrong", [{"extra": {"x": "x" * 70_000}}, {"appclass": "../x"}])
    async def test_what_the_registry_wont_take_is_refused_at_once(self, discovery, wrong):
        """Too large, or a name that can't be a node's."""
        with pytest.raises(RegistryDeniedError):
            await discovery.advertise(port=80, **wrong)
        assert not discovery._registrations

    async def test_a_service_without_a_name_is_warned_of(self, registry, caplog):
        """It says which variables to set; a capital letter in SERVICE_ID is told too."""
        async with Discovery(registry, identity=Identity(host="node-1")) as discovery:
            await discovery.advertise(port=80)
        assert "SERVICE_ID" in caplog.text
        caplog.clear()
        async with Discovery(registry, identity=Identity(host="node-1", service_id="Orders")) as discovery:
            await discovery.advertise(port=80)
        assert "lower case" in caplog.text

    async def test_in_an_outage_it_returns_at_once(self, registry, discovery, observer):
        """And is registered, as given last, when the registry is back."""
        await discovery.ready()
        registry.lose("the cable")
        registration = await discovery.advertise(port=80)
        assert registration.name is None
        registration.update(ids={"shard": 7})
        assert observer.directory.find() == []
        registry.restore()
        assert await registration.registered() == registration.name
        await seen(observer, len)
        assert await observer.locate(shard=7) == {"http://node-1:80"}

    async def test_it_starts_in_an_outage(self, registry, observer):
        """A service must start while the registry is down."""
        registry.lose("not started")
        async with Discovery(registry, identity=Identity(host="node-1", service_id="orders")) as discovery:
            await discovery.advertise(port=80)
            assert discovery.stale == "not started"
            assert discovery.age == math.inf
            registry.restore()
            await discovery.ready()
            await seen(observer, len)

    async def test_cancelling_it_leaves_nothing_behind(self, registry, discovery, observer):
        """Not now and not after the next reconnect."""
        await discovery.ready()
        # Registering takes for ever, and nobody says that the registry is out of reach.
        registry._outage = "unnoticed"
        advertising = asyncio.create_task(discovery.advertise(port=80))
        await turns()
        assert not advertising.done()
        advertising.cancel()
        with pytest.raises(asyncio.CancelledError):
            await advertising
        assert not discovery._registrations
        registry.restore()
        await turns()
        assert observer.directory.find() == []
        assert not registry._advertisements

    async def test_an_expired_session_brings_it_back(self, registry, discovery, observer):
        """Under another node, once."""
        registration = await discovery.advertise(port=80)
        first = registration.name
        registry.expire()
        await seen(observer, lambda found: [one.name for one in found] not in ([], [first]))
        assert [one.name for one in observer.directory.find()] == [registration.name]
        assert registration.name != first

    async def test_a_killed_process_is_gone(self, url, observer):
        """Nothing was withdrawn by it."""
        victim = open_registry(url)
        async with Discovery(victim, identity=Identity(host="node-9", service_id="orders")) as discovery:
            await discovery.advertise(port=80)
            await seen(observer, len)
            victim.kill()
            await seen(observer, lambda found: not found)
            assert await observer.locate(service_id="orders") == set()
            await discovery.membership.wait_stale()


class TestRegistration:
    async def test_update_is_in_place(self, discovery, observer):
        """Same node; what isn't given stays."""
        registration = await discovery.advertise(port=80, ids={"shard": 1}, extra={"a": 1})
        node = registration.name
        registration.update(ids={"shard": [2]})
        assert await registration.registered() == node
        await seen(observer, lambda found: found and found[0].id("shard") == "2")
        registration.update(extra={"b": 1})
        await seen(observer, lambda found: "b" in found[0].record())
        (instance,) = observer.directory.find()
        assert instance.name == node
        assert instance.id("shard") == "2"
        assert "a" not in instance.record()
        registration.update(ids={})
        await seen(observer, lambda found: found[0].id("shard") is None)

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [({"ids": {"a.b": 1}}, RecordError), ({"extra": {"x": "x" * 70_000}}, RegistryDeniedError)],
    )
    async def test_a_refused_update_changes_nothing(self, discovery, wrong, error):
        """Neither the record nor what the next update starts from."""
        registration = await discovery.advertise(port=80, ids={"shard": 1})
        with pytest.raises(error):
            registration.update(**wrong)
        registration.update(extra={"ok": True})
        instance, _ = decode("n", discovery.registry._hub.records[registration.name].data)
        assert instance is not None
        assert instance.id("shard") == "1"
        assert instance.record()["ok"] is True

    async def test_it_keeps_what_it_was_given(self, discovery, observer):
        """An iterator is read once, and what the caller does to its own dictionary later means nothing."""
        ids, extra = {"shard": iter([1, 2])}, {"a": 1}
        registration = await discovery.advertise(port=80, ids=ids, extra=extra)
        ids["a.b"], extra["web"] = 1, 1
        registration.update(extra={"b": 1})
        await seen(observer, lambda found: found and "b" in found[0].record())
        assert await observer.locate(shard=2) == {"http://node-1:80"}

    async def test_withdraw_is_for_good(self, registry, discovery, observer):
        """Twice is no error, a reconnect doesn't bring it back, an update is refused."""
        registration = await discovery.advertise(port=80)
        await seen(observer, len)
        await registration.withdraw()
        await registration.withdraw()
        registry.expire()
        await seen(observer, lambda found: not found)
        assert registration.name is None
        assert not discovery._registrations
        with pytest.raises(RegistryClosedError):
            registration.update(ids={"a": 1})
        with pytest.raises(RegistryClosedError):
            await registration.registered()

    async def test_drain_says_so_first_and_then_withdraws(self, discovery, observer):
        """Whoever looks sees it draining before it is gone; its ids and fields stay."""
        registration = await discovery.advertise(port=80, ids={"shard": 1})
        await seen(observer, len)
        draining = asyncio.create_task(registration.drain(lame_duck=0.05))
        await seen(observer, lambda found: found and found[0].draining)
        assert observer.directory.find()[0].id("shard") == "1"
        assert not draining.done()
        await seen(observer, lambda found: not found)
        await draining

    async def test_a_cancelled_drain_withdraws_at_once(self, discovery, observer):
        """An impatient supervisor leaves no record behind."""
        registration = await discovery.advertise(port=80)
        draining = asyncio.create_task(registration.drain(lame_duck=3600))
        await seen(observer, lambda found: found and found[0].draining)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        await seen(observer, lambda found: not found)

    async def test_a_drain_that_cant_be_published_withdraws(self, discovery, observer, caplog):
        """A record that has no room for the state, or is gone already, is no reason to stay."""
        registration = await discovery.advertise(port=80)
        room = 64 * 1024 - len(discovery.registry._hub.records[registration.name].data)
        registration.update(extra={"x": "x" * (room - len(',"x":""'))})
        await registration.drain(lame_duck=3600)
        assert "without draining" in caplog.text
        await seen(observer, lambda found: not found)
        await registration.drain(lame_duck=3600)


class TestFind:
    @pytest.fixture
    async def three(self, url, observer):
        """Two of orders in shards 1 and 2, one of stock in shard 1."""
        async with Discovery(url) as discovery:
            for number, (service, shard) in enumerate([("orders", 1), ("orders", 2), ("stock", 1)]):
                discovery._identity = Identity(
                    host="node-1", service_id=service, instance_id=f"{service}-{number}"
                )
                await discovery.advertise(port=8000 + number, ids={"shard": shard})
            await seen(observer, lambda found: len(found) == 3)
            yield observer

    async def test_none_is_nobodys_id(self, three, discovery):
        """Not that of somebody who is called 'none'."""
        discovery._identity = Identity(host="node-1", service_id="None", instance_id="none")
        await discovery.advertise(port=9000, ids={"shard": "none"})
        await seen(three, lambda found: len(found) == 4)
        for key in ("service_id", "instance_id", "shard"):
            assert await three.locate({key: None}) == set()
            assert await three.locate({key: "NONE"}) == {"http://node-1:9000"}
            assert await three.instances({key: None}) == []
        assert await three.locate(service_id="orders", shard=None) == set()

    async def test_all_criteria_must_match(self, three):
        """As a dictionary, as keywords or both; hyphens and case don't matter; none: everybody."""
        assert await three.locate({"service_id": "orders"}) == {"http://node-1:8000", "http://node-1:8001"}
        assert await three.locate(service_id="ORDERS", shard=1) == {"http://node-1:8000"}
        assert await three.locate({"service-id": "orders"}, shard="2") == {"http://node-1:8001"}
        assert await three.locate({"service_id": "stock", "shard": 2}) == set()
        assert len(await three.locate()) == len(await three.locate({})) == 3
        found = await three.instances(shard=1)
        assert sorted(str(one.service_id) for one in found) == ["orders", "stock"]

    async def test_a_value_without_its_key_is_a_type_error(self, three):
        """The message says how to name the key."""
        for question in (three.locate, three.instances):
            with pytest.raises(TypeError, match=r"service_id='orders'"):
                await question("orders")

    async def test_a_key_that_is_probably_misspelled_is_logged_once(self, three, caplog):
        """A key that nobody has yet is valid, and similar to none; both match no instance."""
        for _ in range(2):
            assert await three.locate(servce_id="orders") == set()
            assert await three.instances({"shards": 1}) == []
            assert await three.locate(colour="blue") == set()
            assert await three.locate(service_id="nobody") == set()
        assert caplog.messages == [
            "No instance has an id with the key 'servce_id'. Did you mean 'service_id'?",
            "No instance has an id with the key 'shards'. Did you mean 'shard'?",
        ]

    async def test_an_answer_is_the_callers_own(self, three):
        """What is done to it changes no later answer."""
        (await three.locate(shard=1)).clear()
        (await three.instances(shard=1)).clear()
        (await three.discover()).clear()
        assert len(await three.locate(shard=1)) == len(await three.instances(shard=1)) == 2
        assert await three.discover()

    async def test_discover_is_everything_that_can_be_called(self, three, url):
        """By key and value as advertised, with the places of each."""
        async with Discovery(url, identity=Identity(host="x", service_id="worker")) as worker:
            await worker.advertise()
            await seen(three, lambda found: len(found) == 4)
            found = await three.discover()
        assert set(found) == {"service_id", "instance_id", "shard"}
        assert found["service_id"]["stock"] == {("node-1", 8002, socket.AF_INET)}
        assert "worker" not in found["service_id"]
        assert set(found["shard"]) == {1, 2}
        assert len(found["shard"][1]) == 2

    async def test_questions_wait_for_the_first_snapshot(self, registry):
        """And are answered as soon as there is one."""
        registry.lose()
        async with Discovery(registry) as discovery:
            asked = [
                asyncio.create_task(question)
                for question in (
                    discovery.locate(),
                    discovery.instances(),
                    discovery.discover(),
                    discovery.ready(),
                )
            ]
            await turns()
            assert not any(task.done() for task in asked)
            registry.restore()
            assert await asyncio.gather(*asked) == [set(), [], {}, None]

    async def test_without_a_snapshot_it_says_what_to_check(self, registry):
        """The registry, the reason and where its URL comes from; it is a TimeoutError too."""
        registry.lose("connection refused")
        async with Discovery(registry, ready_timeout=0) as discovery:
            for question in (discovery.locate, discovery.instances, discovery.discover, discovery.ready):
                with pytest.raises(NotReadyError, match="PEERAGE_REGISTRY") as caught:
                    await question()
                assert registry.url in str(caught.value)
            await turns()
            with pytest.raises(TimeoutError, match="connection refused"):
                await discovery.ready(timeout=0)

    @pytest.mark.usefixtures("three")
    async def test_out_of_touch_answers_stay(self, registry):
        """What was known is told on, with its age."""
        async with Discovery(registry) as discovery:
            await discovery.ready()
            assert (discovery.stale, discovery.age) == (None, 0)
            registry.lose("the cable")
            await discovery.membership.wait_stale()
            assert discovery.stale == "the cable"
            assert 0 <= discovery.age < math.inf
            assert len(await discovery.locate(service_id="orders")) == 2
            registry.restore()
            while discovery.stale:  # noqa: ASYNC110 - the registry answers within turns of the loop
                await asyncio.sleep(0)
            assert discovery.age == 0

    async def test_changes_begin_with_who_is_there(self, three, url):
        """Then they go on, and end with the Discovery."""
        changes = three.changes()
        assert {type(await anext(changes)) for _ in range(3)} == {Joined}
        async with Discovery(url, identity=Identity(host="x", service_id="new")) as other:
            registration = await other.advertise(port=1)
            joined = await anext(changes)
            registration.update(ids={"a": 1})
            changed = await anext(changes)
        left = await anext(changes)
        assert isinstance(joined, Joined)
        assert isinstance(changed, Changed)
        assert isinstance(left, Left)
        assert changed.before is joined.instance
        assert left.instance is changed.instance
        await three.aclose()
        assert [event async for event in changes] == []


class TestLife:
    async def test_it_is_entered_before_it_is_used(self, url):
        """The message shows how; it is the same error as after the end."""
        discovery = Discovery(url)
        for question in (discovery.locate, discovery.ready, discovery.advertise, discovery.discover):
            with pytest.raises(RegistryClosedError, match="async with"):
                await question()
        with pytest.raises(RegistryClosedError, match="async with"):
            discovery.changes()
        with pytest.raises(RegistryClosedError, match="async with"):
            discovery.session()
        await discovery.aclose()

    async def test_closed_it_isnt_used_any_more(self, url):
        """Also not for what it still knows; nor is it opened again."""
        async with Discovery(url) as discovery:
            await discovery.ready()
        for question in (
            discovery.locate,
            discovery.instances,
            discovery.discover,
            discovery.ready,
            discovery.advertise,
        ):
            with pytest.raises(RegistryClosedError):
                await question()
        for call in (discovery.changes, discovery.session):
            with pytest.raises(RegistryClosedError):
                call()
        with pytest.raises(RegistryClosedError):
            await discovery.__aenter__()

    async def test_making_one_needs_no_loop_and_no_network(self, url):
        """Constructors touch no event loop."""
        made = []
        thread = threading.Thread(target=lambda: made.append(Discovery(url)))
        thread.start()
        thread.join()
        async with made[0] as discovery:
            assert await discovery.locate() == set()

    async def test_closing_twice_is_no_error(self, url, observer):
        """It withdraws what was advertised and tells whoever waits."""
        discovery = await Discovery(url, identity=Identity(host="x", service_id="orders")).__aenter__()
        await discovery.advertise(port=80)
        await seen(observer, len)
        await discovery.aclose()
        await discovery.aclose()
        await seen(observer, lambda found: not found)
        with pytest.raises(RegistryClosedError):
            discovery.registry.watch()

    async def test_closing_tells_whoever_waits(self, registry):
        """A question or an advertisement that can't be answered any more ends at once."""
        discovery = await Discovery(registry).__aenter__()
        await discovery.ready()
        registry._outage = "unnoticed"
        advertising = asyncio.create_task(discovery.advertise(port=80))
        await turns()
        await discovery.aclose()
        with pytest.raises(RegistryClosedError):
            await advertising
        registry.lose()
        other = await Discovery(registry).__aenter__()
        asking = asyncio.create_task(other.locate())
        await turns()
        await other.aclose()
        with pytest.raises(RegistryClosedError):
            await asking

    async def test_a_registry_passed_in_isnt_closed(self, registry):
        """It belongs to the caller, and may serve several."""
        for _ in range(2):
            async with Discovery(registry, identity=Identity(host="x", service_id="orders")) as discovery:
                await discovery.advertise(port=80)
                assert discovery.registry is registry
        assert (await registry.inspect()).state == "connected"
        assert not registry._feeds
        assert not registry._advertisements

    async def test_the_registry_is_the_argument_or_the_variable_or_embedded(self, url, monkeypatch, tmp_path):
        """An empty variable counts as missing."""
        monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "embedded"))
        monkeypatch.setenv("PEERAGE_REGISTRY", f"{url}-variable")
        for argument, expected in ((url, url), (None, f"{url}-variable")):
            discovery = Discovery(argument)
            assert discovery.registry.url == expected
            await discovery.aclose()
        monkeypatch.setenv("PEERAGE_REGISTRY", "")
        discovery = Discovery()
        assert discovery.registry.url.startswith("embedded:")
        await discovery.aclose()

    def test_a_registry_that_cant_be_is_told_at_once(self):
        """Without the rest of the URL, where credentials may stand."""
        with pytest.raises(ConfigurationError) as caught:
            Discovery("nosuch://me:secret@host")
        assert "nosuch" in str(caught.value)
        assert "secret" not in str(caught.value)

    def test_files_alone_are_no_installation(self):
        """What is installed says which registries there are; without that, no URL is any good."""
        program = (
            f"import sys; sys.path.append({str(SOURCES)!r}); import peerage; peerage.open_registry('memory:')"
        )
        found = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], check=False, capture_output=True, text=True
        )
        message = found.stderr.splitlines()[-1]
        assert message.startswith("peerage.errors.ConfigurationError: No registry backend is installed")
        assert "pip install" in message

    async def test_a_word_as_auth_says_what_to_send_instead(self, discovery):
        """Of the words there is one, and what tokens allow is said with it."""
        for wrong in ({"auth": "bearer"}, {"resources": {"*": ["a"]}}):
            with pytest.raises(ConfigurationError, match=r"'internal'.*headers=\{'Authorization'"):
                discovery.session(**wrong)

    async def test_an_exception_inside_closes_it_too(self, url, observer):
        """And comes out as it is."""

        async def fail():
            async with Discovery(url, identity=Identity(host="x", service_id="orders")) as discovery:
                await discovery.advertise(port=80)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        await seen(observer, lambda found: not found)

    async def test_a_healthy_life_is_two_lines_in_the_log(self, url, caplog):
        """One says under which name and where it is found, the other that this is over."""
        caplog.set_level(logging.INFO, logger="peerage")
        async with Discovery(url, identity=Identity(host="x", service_id="orders")) as discovery:
            registration = await discovery.advertise(port=80)
            name = registration.name
            await discovery.locate(service_id="orders")
        assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
            (
                "peerage.registration",
                "INFO",
                f"Advertised as {name} in {url}: service_id=orders http://x:80",
            ),
            ("peerage.registration", "INFO", f"Withdrawn: {name} from {url}"),
        ]


def test_two_threads_with_a_loop_each_share_a_registry(url):
    """Each sees the other come, change and go."""
    left = threading.Barrier(2, timeout=30)
    failures = []

    async def live(name, other):
        async with Discovery(url, identity=Identity(host=name, service_id=name)) as discovery:
            registration = await discovery.advertise(port=80)
            await seen(discovery, lambda found: {one.host for one in found} == {name, other})
            registration.update(ids={"ready": 1})
            await seen(discovery, lambda found: any(one.host == other and one.id("ready") for one in found))
            assert await discovery.locate(ready=1) >= {f"http://{other}:80"}
            # Both have seen all before either goes.
            await asyncio.to_thread(left.wait)
            if name == "one":
                await registration.withdraw()
            else:
                await seen(discovery, lambda found: {one.host for one in found} == {name})

    def run(name, other):
        try:
            asyncio.run(live(name, other))
        except BaseException as error:  # noqa: BLE001 - of another thread, told below
            failures.append(error)
            left.abort()

    threads = [threading.Thread(target=run, args=names) for names in (("one", "two"), ("two", "one"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
