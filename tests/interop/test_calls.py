"""A service of the original and one of peerage find and call each other by name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp.web
import pytest
from tests.interop.original import original

from peerage import Discovery
from peerage.records.identity import Identity
from peerage.testing import eventually


@asynccontextmanager
async def serving(url: str, identity: Identity, **advertised: object) -> AsyncIterator[Discovery]:
    """A service of peerage, over HTTP."""

    async def who(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.json_response({"who": "peerage", "instance": identity.instance_id})

    app = aiohttp.web.Application()
    app.router.add_get("/who", who)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "0.0.0.0", 0)
    await site.start()
    try:
        async with Discovery(url, identity=identity) as discovery:
            port = runner.addresses[0][1]
            await discovery.advertise(port=port, **advertised)
            yield discovery
    finally:
        await runner.cleanup()


async def found(ask, what: str) -> None:
    """Wait until *ask* has an answer."""
    deadline = asyncio.get_running_loop().time() + 20
    while not await ask():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "host",
    ["their-service.service_id.asab", "their-1.instance_id.asab", "9.shard.asab", "THEIR-1.instance-id.asab"],
)
async def test_ours_calls_the_original(zookeeper, path, url, host):
    """By service_id, instance_id and a custom id, which it advertised as a number."""
    key = host.rpartition(".asab")[0].rpartition(".")[2].replace("-", "_")
    async with (
        original(zookeeper.address, path, SERVICE_ID="their-service", INSTANCE_ID="their-1") as peer,
        Discovery(url) as discovery,
    ):
        assert await peer.tell("update_discovery", {"shard": [9]}) is None
        await found(lambda: discovery.locate(**{key: host.partition(".")[0]}), f"no instance has {host}")
        async with discovery.session() as session, session.get(f"http://{host}/who") as response:
            assert response.status == 200
            assert await response.json() == {"who": "asab", "instance": "their-1"}


@pytest.mark.parametrize(
    "host", ["our-service.service_id.asab", "our-1.instance_id.asab", "blue.colour.asab", "9.shard.asab"]
)
async def test_the_original_calls_ours(zookeeper, path, url, host):
    """Through its own session()."""
    identity = Identity(host="127.0.0.1", service_id="our-service", instance_id="our-1")
    value, key, _ = host.rsplit(".", 2)
    async with (
        original(zookeeper.address, path, SERVICE_ID="their-service", INSTANCE_ID="their-1") as peer,
        serving(url, identity, ids={"colour": ["blue"], "shard": ["9"]}),
    ):
        await found(lambda: peer.tell("locate", {key: value}), f"the original knows no instance by {host}")
        status, text = await peer.tell("get", f"http://{host}/who")
        assert (status, text) == (200, '{"who": "peerage", "instance": "our-1"}')


async def test_the_original_finds_ours_without_an_instance_id(zookeeper, path, url):
    """Because peerage writes service_id among the custom ids as well, where asab 25.15 looks for it."""
    identity = Identity(host="127.0.0.1", service_id="nameless")
    async with original(zookeeper.address, path) as peer, serving(url, identity):
        await found(lambda: peer.tell("locate", {"service_id": "nameless"}), "not found by the original")
        status, _ = await peer.tell("get", "http://nameless.service_id.asab/who")
        assert status == 200


async def test_comings_and_goings_are_seen_on_both_sides(zookeeper, path, url):
    """Other ids, a withdrawal, a death: each is known to the other."""
    identity = Identity(host="127.0.0.1", service_id="our-service", instance_id="our-1")
    async with original(zookeeper.address, path, SERVICE_ID="their-service", INSTANCE_ID="their-1") as peer:
        async with serving(url, identity) as ours:
            await found(lambda: peer.tell("locate", {"instance_id": "our-1"}), "not found by the original")
            await found(lambda: ours.locate(instance_id="their-1"), "the original not found")
            await peer.tell("update_discovery", {"colour": ["red"]})
            await found(lambda: ours.locate(colour="red"), "the new id not found")
            await peer.tell("update_discovery", {"colour": ["green"]})
            await found(lambda: ours.locate(colour="green"), "the newer id not found")
            assert not await ours.locate(colour="red")

        async def gone() -> bool:
            return not await peer.tell("locate", {"instance_id": "our-1"})

        await found(gone, "still known to the original")
        async with Discovery(url) as discovery:
            await found(lambda: discovery.locate(instance_id="their-1"), "the original not found")
            peer.kill()
            # The last instance of a name stays as a suspect until its port refuses.
            await eventually(lambda: all(each.suspect for each in discovery.directory.find()))
