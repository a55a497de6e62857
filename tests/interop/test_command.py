"""The command against a cluster of the original's services: it looks, and leaves no trace."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from kazoo.client import KazooClient
from tests.backends.zookeeper.support import bare_client
from tests.interop.original import Original, original
from tests.interop.test_calls import found, serving

from peerage.records.identity import Identity
from peerage.testing import eventually
from peerage.testing.children import STRICT, run


@pytest.fixture
async def cluster(zookeeper, path) -> AsyncIterator[Original]:
    """Two services of the original that know each other."""
    async with (
        original(
            zookeeper.address, path, SERVICE_ID="orders", INSTANCE_ID="orders-1", NODE_ID="node-1"
        ) as one,
        original(zookeeper.address, path, SERVICE_ID="billing", INSTANCE_ID="billing-1") as other,
    ):
        await found(lambda: one.tell("locate", {"service_id": "billing"}), "the second service")
        await found(lambda: other.tell("locate", {"service_id": "orders"}), "the first service")
        yield one


async def peerage(*args: str) -> tuple[int, str]:
    """Exit code and standard output of the command."""
    async with run(*STRICT, "-m", "peerage", *args) as child:
        return await child.end()


def everything(client: KazooClient, path: str) -> dict[str, object]:
    """Every node from *path* on: its data, its access list, and its last changes."""
    data, stat = client.get(path)
    acls, _ = client.get_acls(path)
    nodes = {path: (data, acls, stat)}
    for child in client.get_children(path):
        nodes |= everything(client, f"{path}/{child}")
    return nodes


async def is_well(url: str) -> bool:
    """Whether the doctor finds no fault of two services, and of the server that they use."""
    _, text = await peerage("doctor", url, "--json")
    findings = json.loads(text)["findings"]
    # What other tests do to the shared server may bring it near its limits.
    faults = [
        one for one in findings if one["severity"] in {"problem", "warning"} and one["check"] != "limits"
    ]
    said = {one["what"] for one in findings}
    return not faults and said >= {
        "2 records are complete and consistent.",
        "2 ports answer where the records say.",
    }


async def rows_of(url: str) -> list[dict[str, Any]]:
    """What the API of ``peerage serve`` says of the instances in a registry."""
    command = (*STRICT, "-m", "peerage", "serve", "--http", "127.0.0.1:0", "--registry", url)
    async with run(*command) as child, aiohttp.ClientSession() as session:
        page, _, _ = (await child.line()).partition(" ")

        async def ready() -> bool:
            async with session.get(f"{page}readyz") as response:
                return response.status == 200

        await eventually(ready, "the registry being read")
        async with session.get(f"{page}v1/instances") as response:
            rows: list[dict[str, Any]] = await response.json()
        return rows


async def test_a_cluster_of_the_original_is_looked_at(cluster, zookeeper, path, url, monkeypatch):
    """ls, serve, locate and get know it, and find no fault; each node is as it was, to its last change."""
    async with bare_client(zookeeper.address) as client:
        before = await asyncio.to_thread(everything, client, f"/{path}")
        code, listed = await peerage("ls", "--registry", url)
        assert code == 0
        assert "orders-1" in listed
        assert "billing-1" in listed
        assert [row["instance"] for row in await rows_of(url)] == ["billing-1", "orders-1"]
        code, located = await peerage("locate", "--registry", url, "service_id=orders")
        assert (code, located.split()) == (0, await cluster.tell("locate", {"service_id": "orders"}))
        code, located = await peerage("locate", "--registry", url, "node_id=node-1")
        assert (code, len(located.split())) == (0, 1)
        code, answer = await peerage("get", "--registry", url, "http://billing.service_id.asab/who")
        assert (code, json.loads(answer)) == (0, {"who": "asab", "instance": "billing-1"})
        monkeypatch.setenv("ASAB_HOSTNAME", "127.0.0.1")  # that of the machine needn't resolve
        await eventually(lambda: is_well(f"{url}&acl=open"), "a diagnosis without a fault")
        after = await asyncio.to_thread(everything, client, f"/{path}")
    assert after == before


async def test_a_cluster_that_is_not_there_is_not_made(zookeeper, path, url):
    """A mistyped path finds nothing, and leaves nothing behind."""
    async with bare_client(zookeeper.address) as client:
        await peerage("ls", "--registry", url)
        await peerage("doctor", url)
        assert await rows_of(url) == []
        assert not await asyncio.to_thread(client.exists, f"/{path}")


async def test_both_kinds_are_in_one_list(cluster, path, url):
    """One of the original and one of peerage: each calls the other."""
    identity = Identity(host="127.0.0.1", service_id="our-service", instance_id="our-1")
    async with serving(url, identity) as ours:
        await found(lambda: cluster.tell("locate", {"instance_id": "our-1"}), "ours")
        code, listed = await peerage("ls", "--registry", url)
        assert code == 0
        assert {"orders-1", "billing-1", "our-1"} <= set(listed.split())
        status, text = await cluster.tell("get", "http://our-service.service_id.asab/who")
        assert (status, json.loads(text)["who"]) == (200, "peerage")
        async with ours.session() as session, session.get("http://orders.service_id.asab/who") as response:
            assert (await response.json())["who"] == "asab"
