"""Invalid records of others: each is skipped and logged once, and the rest works."""

import asyncio
import json
import logging

from tests.backends.zookeeper.support import bare_client, folder_of

from peerage import Discovery, open_registry
from peerage.testing import View, eventually

_GOOD = {"host": "localhost", "service_id": "good", "web": [["0.0.0.0", 8080]]}


def _bytes(**fields: object) -> bytes:
    return json.dumps({**_GOOD, **fields}).encode()


GARBAGE = {
    "Garbage.0000000001": (b"\xff\x00 not json", True),
    "Large.0000000002": (b"x" * 900_000, True),
    "Text.0000000003": (_bytes(service_id="odd", web="x"), True),
    "ByHand.0000000004": (_bytes(service_id="by-hand"), False),
}


def _about(records: list[logging.LogRecord], node: str) -> list[str]:
    return [line for record in records if node in (line := record.getMessage())]


async def test_invalid_records_are_skipped(url, server, caplog):
    """Garbage, 900 kB, a wrong type, a node left by hand: the rest works, with one line each."""
    caplog.set_level(logging.INFO, "peerage")
    folder = folder_of(url)
    async with Discovery(url) as owner, bare_client(server.address) as client:
        await owner.advertise(port=8080, ids={"shard": 1})
        for name, (data, ephemeral) in GARBAGE.items():
            await asyncio.to_thread(client.create, f"{folder}/{name}", data, ephemeral=ephemeral)
        async with Discovery(url) as discovery:
            assert len(await discovery.locate(shard=1)) == 1
            assert not await discovery.locate(service_id="by-hand")
            # While it watches as well.
            for name, (data, _) in GARBAGE.items():
                await asyncio.to_thread(client.set, f"{folder}/{name}", data + b" ")
            await asyncio.to_thread(client.create, f"{folder}/Good.0000000009", _bytes(), ephemeral=True)
            await eventually(lambda: discovery.directory.urls((("service_id", "good"),)), "the good one")
            assert len(await discovery.locate(shard=1)) == 1
            assert discovery.stale is None
    # Two registries watch, and each logs it once.
    for name in GARBAGE:
        assert len(_about(caplog.records, name)) in {1, 2}, (name, _about(caplog.records, name))


async def test_an_invalid_record_is_logged_once(url, server, caplog):
    """By each watcher, however often it is written."""
    folder = folder_of(url)
    async with bare_client(server.address) as client:
        await asyncio.to_thread(client.ensure_path, folder)
        for name, (data, ephemeral) in GARBAGE.items():
            await asyncio.to_thread(client.create, f"{folder}/{name}", data, ephemeral=ephemeral)
        async with Discovery(url) as discovery:
            await discovery.ready()
            for turn in range(3):
                for name, (data, _) in GARBAGE.items():
                    await asyncio.to_thread(client.set, f"{folder}/{name}", data + b" " * turn)
                marker = f"{folder}/Marker{turn}"
                await asyncio.to_thread(client.create, marker, _bytes(service_id=f"m{turn}"), ephemeral=True)
                await eventually(lambda turn=turn: discovery.directory.urls((("service_id", f"m{turn}"),)))
    for name in GARBAGE:
        assert len(_about(caplog.records, name)) == 1, (name, _about(caplog.records, name))


async def test_a_record_that_grows_too_large_is_gone_until_it_shrinks(url, server):
    """Watchers get Gone, and Put with the next change that is small enough."""
    folder = folder_of(url)
    registry = open_registry(url)
    async with bare_client(server.address) as client, View(registry) as view:
        await asyncio.to_thread(
            client.create, f"{folder}/App.0000000001", b"1", ephemeral=True, makepath=True
        )
        await view.until_data([b"1"])
        await asyncio.to_thread(client.set, f"{folder}/App.0000000001", b"x" * 100_000)
        await view.until_data([])
        async with View(registry) as newcomer:
            await newcomer.until_data([])
            await asyncio.to_thread(client.set, f"{folder}/App.0000000001", b"2")
            await view.until_data([b"2"])
            await newcomer.until_data([b"2"])
    await registry.aclose()


async def test_a_folder_removed_and_created_again(url, server):
    """All records are gone, and those in the new folder are seen: the watch survives."""
    folder = folder_of(url)
    registry = open_registry(url)
    async with bare_client(server.address) as client, View(registry) as view:
        for data in (b"1", b"2"):
            await asyncio.to_thread(
                client.create, f"{folder}/App.0000000001", data, ephemeral=True, makepath=True
            )
            await view.until_data([data])
            await asyncio.to_thread(client.delete, folder, recursive=True)
            await view.until_data([])
    await registry.aclose()


async def test_a_node_below_a_record_is_no_record(url, server):
    """No service of ASAB creates one."""
    folder = folder_of(url)
    registry = open_registry(url)
    async with bare_client(server.address) as client, View(registry) as view:
        await asyncio.to_thread(client.create, f"{folder}/Outer/inner", b"deep", makepath=True)
        await asyncio.to_thread(client.create, f"{folder}/Marker", b"marker", ephemeral=True)
        await view.until(lambda: "Marker" in view.records)
        assert set(view.records) == {"Outer", "Marker"}
        assert not view.records["Outer"].ephemeral
    await registry.aclose()
