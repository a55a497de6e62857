"""The record of a service inside the real framework."""

import asyncio
import json

import pytest
from tests.asab.inside.programs import ORIGINAL, OURS, guest, named
from tests.asab.inside.reader import Reader
from tests.asab.zookeeper.programs import on
from tests.backends.zookeeper.support import bare_client

from peerage.testing.zookeeper.proxy import Proxy

MANIFEST = {"version": "v24.17", "created_at": "2024-05-01T10:00:00.000000Z", "CI_JOB_ID": "77"}


async def test_fields(inside, zookeeper, tmp_path, monkeypatch):
    """Exactly the keys of the original, with the same values, and the key ``peerage``."""
    manifest = tmp_path / "MANIFEST.json"
    manifest.write_text(json.dumps(MANIFEST))
    config = tmp_path / "my.conf"
    config.write_text(f"[general]\nmanifest={manifest}\n")
    records = {}
    for api in (ORIGINAL, OURS):
        environ = on(zookeeper)
        more = {"NODE_ID": "node-1", "SITE_ID": "site-1", "ASAB_CONFIG": str(config)}
        async with (
            guest(inside, named(environ, "my-1", api, **more)) as one,
            Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
        ):
            await one.update_discovery({"shard": ["1", 2]})
            node, record, _ = await reader.one_of(
                "my-1", lambda record, _: "web" in record and "discovery" in record
            )
            assert node == "Guest.0000000000"
            # What a container is, is seen in different ways.
            record.pop("containerized", None)
            port = one.session._base_url.port
            assert record.pop("web") == [["0.0.0.0", port]]
            assert record.pop("process_id") == one.running.pid
            assert record.pop("launch_time").endswith("Z")
            records[api] = record
    assert set(records[OURS].pop("peerage")) <= {"scheme", "nonce", "host_key", "addresses", "process"}
    assert records[OURS] == records[ORIGINAL]
    assert records[OURS] == {
        **MANIFEST,
        "host": "127.0.0.1",
        "appclass": "Guest",
        "discovery": {"shard": ["1", 2]},
        "instance_id": "my-1",
        "service_id": "my",
        "node_id": "node-1",
        "site_id": "site-1",
    }


async def test_changes_in_place(inside, zookeeper):
    """Other ids, in the same node of the same session."""
    environ = on(zookeeper)
    async with (
        guest(inside, named(environ, "my-1")) as one,
        Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
    ):
        before = await reader.one_of("my-1")
        await one.update_discovery({"shard": ["1"]})
        after = await reader.one_of("my-1", lambda record, _: "discovery" in record)
        assert (before[0], before[2]) == (after[0], after[2])
        assert after[1]["discovery"] == {"shard": ["1"]}


async def test_back_after_its_session_expired(inside, zookeeper):
    """In a node of the new session, with what was advertised last; found by a service of the original."""
    environ = on(zookeeper)
    async with (
        Proxy(zookeeper.address) as proxy,
        guest(inside, named(environ, "original-1", ORIGINAL)) as original,
        guest(inside, named({**environ, "TEST_SERVERS": proxy.address}, "my-1")) as one,
        Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
    ):
        await one.update_discovery({"shard": ["1"]})
        await original.found(shard="1")

        before = await reader.one_of("my-1")
        await proxy.expire_sessions()
        after = await reader.one_of("my-1", lambda _, owner: owner != before[2])
        assert after[0] != before[0]
        await original.found(shard="1")
        assert await original.calls("http://1.shard.asab/who") == (200, {"who": "my-1"})
        await one.found(instance_id="original-1")


@pytest.mark.parametrize("servers", ["/chroot", ""])
async def test_where_the_container_is(inside, zookeeper, servers):
    """Its servers, its chroot, its path."""
    environ = on(zookeeper)
    async with bare_client(zookeeper.address) as client:
        await asyncio.to_thread(client.ensure_path, "/chroot")
    inner = {**environ, "TEST_SERVERS": f"{zookeeper.address}{servers}"}
    async with (
        guest(inside, named(inner, "my-1")),
        Reader(zookeeper.address, f"{servers}{environ['TEST_PATH']}") as reader,
    ):
        _, record, _ = await reader.one_of("my-1")
        assert record["instance_id"] == "my-1"


async def test_where_it_could_not_listen(inside, zookeeper):
    """As with the original it runs, and is advertised without addresses."""
    environ = on(zookeeper)
    program = """
asab.Config.set("web", "listen", "192.0.2.1 80")
async def main(self):
    say(0)
Guest.main = main
Guest().run()
"""
    async with (
        guest(inside, named(environ, "my-1"), program),
        Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
    ):
        _, record, _ = await reader.one_of("my-1", lambda *_: True)
        assert not record.get("web")
        assert record["instance_id"] == "my-1"
