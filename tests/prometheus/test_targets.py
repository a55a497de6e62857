"""The instances as targets of Prometheus."""

import json
import re

import pytest
from tests.prometheus.conftest import served
from tests.support import record

from peerage import Discovery
from peerage.directory import Directory
from peerage.prometheus import target_groups
from peerage.serve import View, create_app
from peerage.serve.prometheus import Targets

PATH = "/v1/prometheus/targets"


def groups_of(**fields):
    """The groups of one record."""
    directory = Directory(host_key="here")
    directory.put(record("App.1", **fields))
    return [group for instance in directory.find() for group in target_groups(instance)]


def targets_of(**fields):
    """The targets of one record."""
    return [target for group in groups_of(**fields) for target in group["targets"]]


def labels_of(**fields):
    """The labels of the only target of one record, without their prefix."""
    (group,) = groups_of(**fields)
    return {name.removeprefix("__meta_peerage_"): value for name, value in group["labels"].items()}


def test_a_target_has_the_labels_of_its_record():
    """What a table shows of it, and where it listens."""
    labels = labels_of(
        node_id="n",
        site_id="s",
        appclass="Shop",
        version="1.2",
        peerage={"state": "draining"},
        discovery={"shard": [1, "b"], "lang": ["en"]},
    )
    assert labels == {
        "record": "App.1",
        "service": "orders",
        "instance": "App.1",
        "node": "n",
        "site": "s",
        "appclass": "Shop",
        "version": "1.2",
        "state": "draining",
        "id_shard": ",1,b,",
        "id_lang": ",en,",
        "host": "node-1",
        "port": "80",
        "endpoint": "0",
    }


def test_each_port_is_a_target():
    """One that listens on both families is one target; the scheme is said where the record says it."""
    groups = groups_of(
        web=[["0.0.0.0", 80], ["::", 80], ["0.0.0.0", 443]], peerage={"schemes": {"443": "https"}}
    )
    assert [group["targets"] for group in groups] == [["node-1:80"], ["node-1:443"]]
    assert [group["labels"]["__meta_peerage_endpoint"] for group in groups] == ["0", "1"]
    assert [group["labels"].get("__scheme__") for group in groups] == [None, "https"]


def test_ipv6_is_in_brackets():
    """As in a URL."""
    assert targets_of(host="2001:db8::1", web=[["::", 80]]) == ["[2001:db8::1]:80"]


@pytest.mark.parametrize(
    "fields",
    [
        {"web": None},  # it listens nowhere
        {"web": [["127.0.0.1", 80]]},  # on another host
        {"host": "good:80/evil?"},
        {"host": "user@evil"},
    ],
)
def test_what_cant_be_called_is_no_target(fields):
    """Neither is what isn't a host."""
    assert targets_of(**fields) == []


def test_a_hostile_record_only_changes_its_own_labels():
    """Names are legal, values are texts, and no label that Prometheus itself uses can be set."""
    (group,) = groups_of(
        version={"__address__": "evil:80"},
        appclass='ü\n"\\\0',
        discovery={"__address__": ["evil:80"], "a-b": [1], "a b": [2.5], "ключ": ["\ud800"], "": ["x"]},
    )
    assert group["targets"] == ["node-1:80"]
    labels = group["labels"]
    assert all(re.fullmatch("__meta_peerage_[a-zA-Z0-9_]+", name) for name in labels)
    assert all(isinstance(value, str) and value for value in labels.values())
    assert labels["__meta_peerage_id___address__"] == ",evil:80,"
    assert labels["__meta_peerage_id_a_b"] in {",1,2.5,", ",2.5,1,"}
    json.dumps(group).encode()


async def test_prometheus_gets_an_error_before_the_registry_was_read(registry):
    """It keeps the targets that it has then; an empty list would make it forget them."""
    registry.lose("the cable")
    async with (
        Discovery(registry) as discovery,
        View(discovery.membership) as view,
        served(create_app(view)) as client,
    ):
        async with client.get(PATH) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
            assert registry.url in (await response.json())["error"]
        registry.restore()
        await discovery.ready()
        async with client.get(PATH) as response:
            assert (response.status, await response.json()) == (200, [])


async def test_the_list_is_whole_sorted_and_can_be_filtered(client, discovery):
    """By the criteria of the API."""
    await discovery.ready()
    async with client.get(PATH) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == []
    for number, service in enumerate(("orders", "Bills", "orders")):
        discovery.directory.put(record(f"{3 - number}", number, service_id=service, host=f"node-{number}"))
    for query, wanted in {
        "": ["node-1:80", "node-2:80", "node-0:80"],
        "?service_id=ORDERS": ["node-2:80", "node-0:80"],
        "?service-id=orders&instance_id=1": ["node-2:80"],
        "?service_id=none": [],
    }.items():
        async with client.get(f"{PATH}{query}") as response:
            groups = await response.json()
            assert [target for group in groups for target in group["targets"]] == wanted


async def test_suspects_and_an_unreachable_registry_leave_the_list_as_it_is(client, registry, discovery):
    """Draining instances are targets until their records are gone."""
    await discovery.ready()
    directory = discovery.directory
    for number in range(4):
        directory.put(record(f"{number}", number, host=f"node-{number}"))
    directory.put(record("0", 0, host="node-0", peerage={"state": "draining"}))
    registry.lose("the cable")
    await discovery.membership.wait_stale()
    for number in range(1, 4):
        directory.remove(f"{number}")
    async with client.get(PATH) as response:
        states = {
            group["targets"][0]: group["labels"]["__meta_peerage_state"] for group in await response.json()
        }
    assert states.pop("node-0:80") == "draining"
    assert states == {f"node-{number}:80": "suspect" for number in range(1, 4)}
    directory.remove("0", withdrawn=True)
    async with client.get(PATH) as response:
        assert len(await response.json()) == 3


async def test_instances_that_left_arent_remembered(discovery):
    """The text of a target is kept as long as its instance is known, and not much longer."""
    await discovery.ready()
    async with View(discovery.membership) as view:
        targets = Targets(view)
        for number in range(100):
            discovery.directory.put(record(f"{number}", number))
            assert len(await targets.groups((("service_id", "orders"),))) == 1
            discovery.directory.remove(f"{number}", withdrawn=True)
        assert len(targets._known) <= 3
