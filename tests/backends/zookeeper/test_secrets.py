"""Secrets on a real server: connections that fail, and impossible names."""

import asyncio
import re

import pytest
from kazoo.security import make_acl
from tests.backends.programs import program
from tests.backends.zookeeper.support import CLOSING, bare_client, folder_of, times_put_off

from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import open_registry
from peerage.testing import begun, eventually
from peerage.testing.harness import closing
from peerage.testing.waiting import PATIENCE


async def test_throttled_requests_for_secrets_are_sent_again(busy_server):
    """Each of many secrets has its value, and the connection stays."""
    names = [f"/busy/auth/key-{number}" for number in range(300)]
    url = f"zookeeper://{busy_server.address}/busy"
    async with closing(open_registry(url)) as (registry,):
        await registry.secrets.obtain("/busy/auth/key", lambda: b"value")
        up = registry.connection.up
        values = await asyncio.gather(
            *(registry.secrets.obtain(name, name.encode) for name in names),
        )
        assert registry.connection.up is up
    assert values == [name.encode() for name in names]
    assert times_put_off(busy_server) > 0


async def test_an_outage_is_waited_for(url, secret, through, proxy):
    """obtain() and follow() return the value that is there after it."""
    async with closing(open_registry(url), open_registry(through)) as (here, there):
        follower = aiter(there.secrets.follow(secret))
        assert await here.secrets.obtain(secret, lambda: b"1") == await anext(follower) == b"1"
        await proxy.refuse()
        await eventually(lambda: there.connection.up is None)
        changed = asyncio.ensure_future(anext(follower))
        wanted = asyncio.ensure_future(there.secrets.obtain(f"{secret}-2", lambda: b"there"))
        async with bare_client(here.url.split("/")[2]) as administrator:
            await asyncio.to_thread(administrator.set, secret, b"2")
        assert await here.secrets.obtain(f"{secret}-2", lambda: b"here") == b"here"
        assert not wanted.done()
        assert not changed.done()
        await proxy.heal()
        assert (await wanted, await changed) == (b"here", b"2")
        await follower.aclose()


@pytest.mark.parametrize("fault", ["black_hole", "refuse"])
async def test_closing_ends_waiting_calls(through, secret, proxy, fault):
    """obtain() raises and follow() ends, whatever the server does."""
    registry = open_registry(through)
    follower = aiter(registry.secrets.follow(secret))
    assert await registry.secrets.obtain(secret, lambda: b"value") == await anext(follower)
    if fault == "refuse":
        await proxy.refuse()
        await eventually(lambda: registry.connection.up is None)
    else:
        proxy.black_hole()
    wanted = asyncio.ensure_future(registry.secrets.obtain(f"{secret}-2", lambda: b"never"))
    further = await begun(anext(follower, None))
    async with asyncio.timeout(CLOSING):
        await registry.aclose()
        with pytest.raises(RegistryClosedError):
            await wanted
        assert await further is None


async def test_an_empty_node_is_filled_once(url, server, secret):
    """Left by a process that died too early: of two processes one fills it, both have its value."""
    text = """
    import asyncio, os, sys
    from peerage.registry import open_registry

    async def main(url, secret):
        registry = open_registry(url)
        await registry.inspect()
        print("ready", flush=True)
        sys.stdin.readline()
        make = lambda: os.urandom(8).hex().encode()
        values = await asyncio.gather(*(registry.secrets.obtain(f"{secret}-{n}", make) for n in range(30)))
        print(b" ".join(values).decode(), flush=True)
        await registry.aclose()

    asyncio.run(main(*sys.argv[1:]))
    """
    async with (
        bare_client(server.address) as client,
        program(text, url, secret) as one,
        program(text, url, secret) as two,
    ):
        for number in range(30):
            await asyncio.to_thread(client.ensure_path, f"{secret}-{number}")
        for process in (one, two):
            assert await process.line() == "ready"
        for process in (one, two):
            await process.tell("go")
        values = (await one.line()).split()
        assert (await two.line()).split() == values
        assert len(set(values)) == 30
        for number, value in enumerate(values):
            data, stat = await asyncio.to_thread(client.get, f"{secret}-{number}")
            assert (data.decode(), stat.version) == (value, 1)


async def test_following_an_empty_node_waits_for_its_value(url, server, secret):
    """An empty node is no secret."""
    async with bare_client(server.address) as client, closing(open_registry(url)) as (registry,):
        await asyncio.to_thread(client.ensure_path, secret)
        follower = aiter(registry.secrets.follow(secret))
        first = asyncio.ensure_future(anext(follower))
        await eventually(lambda: registry.connection.up)
        assert await registry.secrets.obtain(secret, lambda: b"value") == b"value"
        assert await first == b"value"
        await follower.aclose()


async def test_an_empty_node_that_may_not_be_filled(url, server, secret):
    """The error names it and says what to do."""
    async with bare_client(server.address) as client, closing(open_registry(url)) as (registry,):
        await asyncio.to_thread(client.ensure_path, secret.rpartition("/")[0])
        await asyncio.to_thread(client.create, secret, b"", acl=[make_acl("world", "anyone", read=True)])
        with pytest.raises(RegistryDeniedError, match=f"'{secret}' .* is empty.* have it removed"):
            await registry.secrets.obtain(secret, lambda: b"value")


async def test_a_failure_is_logged_once_and_retried(url, server, caplog):
    """Once for each time it begins, with control characters of the name escaped."""
    parent = f"{folder_of(url).rpartition('/')[0]}/owned\u202e"
    async with closing(open_registry(url)) as (registry,):
        for turn in range(2):
            async with bare_client(server.address) as owner:
                await asyncio.to_thread(owner.create, parent, ephemeral=True, makepath=True)
                wanted = asyncio.ensure_future(registry.secrets.obtain(f"{parent}/key", lambda: b"value"))
                # Once for each time that a node below an ephemeral node was refused.
                await eventually(lambda turn=turn: len(caplog.records) > turn)
            assert await wanted == b"value"
            async with bare_client(server.address) as administrator:
                await asyncio.to_thread(administrator.delete, parent, recursive=True)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2, said
    for line in said:
        assert "NoChildrenForEphemerals; trying again" in line
        assert "owned\\u202e/key" in line


IMPOSSIBLE = [
    ("", "write an absolute path"),
    ("key", "write an absolute path"),
    ("/", "write an absolute path"),
    ("/a/", "with no '/' at its end"),
    ("//a", "component 1 is empty"),
    ("/a//b", "component 2 is empty"),
    ("/a/./b", "component 2 is '.' or '..'"),
    ("/a/..", "component 2 is '.' or '..'"),
    ("/a/\0", "control character"),
    ("/a\x1b[31m/b", r"'/a\x1b[31m/b' .* component 1 has a control character"),
    ("/a/\x85", "control character"),
    ("/a/\udcff", r"'/a/\udcff' .* ZooKeeper refuses"),
    ("/\U0001f511", r"'/\U0001f511' .* ZooKeeper refuses"),
    ("/zookeeper/config", "component 1 is 'zookeeper'"),
    ("/" + "x" * 2_000_000, "a path of 1000 at most"),
    ("{folder}", "'{folder}' is in it"),
    ("{folder}/key", "taken for a record"),
    ("{parent}", "'{folder}' is in it"),
]


@pytest.mark.parametrize(("name", "message"), IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
async def test_an_impossible_name(url, secret, caplog, name, message):
    """It is refused at once, with what to do."""
    folder = folder_of(url)
    name = name.replace("{folder}", folder).replace("{parent}", folder.rpartition("/")[0])
    pattern = re.escape(message.replace("{folder}", folder)).replace(r"\.\*", ".*")
    async with closing(open_registry(url)) as (registry,), asyncio.timeout(PATIENCE):
        with pytest.raises(RegistryDeniedError, match=pattern):
            await registry.secrets.obtain(name, lambda: b"never")
        with pytest.raises(RegistryDeniedError, match=pattern) as denied:
            registry.secrets.follow(name)
        assert str(denied.value).isprintable()
        assert len(str(denied.value)) < 300
        assert await registry.secrets.obtain(secret, lambda: b"value") == b"value"
    assert not caplog.records


async def test_only_the_registrys_own_folder_is_refused(url):
    """Similar names, and the folders of other registries, can be secrets."""
    folder = folder_of(url)
    async with closing(open_registry(url)) as (registry,):
        for name in (f"{folder}-keys/key", f"{folder}ner", f"{folder.rpartition('/')[0]}-2", "/a/zookeeper"):
            assert await registry.secrets.obtain(name, lambda: b"value") == b"value"
