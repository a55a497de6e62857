"""What users of kazoo's own client do that would end the registry's session, or its connection."""

import asyncio
import threading

import pytest
from kazoo.exceptions import ConnectionClosedError, ConnectionLoss
from tests.backends.zookeeper.support import connected, connection, cut_off, folder_of

from peerage.asab.zookeeper.session import ZooKeeperSession
from peerage.registry import open_registry
from peerage.testing import eventually
from peerage.testing.suite import closing, registered

call = asyncio.to_thread


async def test_a_session_that_a_user_ends_is_followed_by_another(url):
    """stop(), close(), start(), restart(): with the same client, its watches and the records."""
    async with closing(open_registry(url)) as (registry,):
        client, told = ZooKeeperSession(registry).client, []
        record = await registered(registry, "Kept", b"1")
        client.add_listener(told.append)
        await call(client.DataWatch, "/zookeeper", lambda *_: told.append("data"))
        for end in ("stop", "close"), ("restart",), ("restart", "start"):
            before, node = connection(registry).up.session, record.name
            for each in end:
                await call(getattr(client, each))
            await call(client.start)
            path = await call(client.create, f"{folder_of(url)}/x-", b"", None, True, True, True)  # noqa: FBT003
            stat = await call(client.exists, path)
            assert stat.ephemeralOwner not in {0, before}
            await eventually(lambda node=node: record.name not in {node, None}, "the record's next node")
            assert connection(registry).up.session == stat.ephemeralOwner
            assert ZooKeeperSession(registry).client is client
        assert len([each for each in threading.enumerate() if each.name.startswith("peerage: zoo")]) == 3
    assert told[0] == "data"
    assert [each for each in told if each != "data"] == ["LOST", "CONNECTED"] * 3 + ["LOST"]
    # Closed with the registry, for good.
    await call(client.stop)
    with pytest.raises(ConnectionClosedError):
        await call(client.start)


async def test_a_session_that_a_user_ends_in_an_outage(through, proxy):
    """There is nobody to be told; the next begins with the next connection."""
    async with closing(open_registry(through)) as (registry,):
        client = ZooKeeperSession(registry).client
        await connected(registry)
        session = connection(registry).up.session
        await cut_off(proxy, registry)
        await call(client.stop)
        await proxy.heal()
        await call(client.start)
        assert await call(client.exists, "/zookeeper")
        assert client.client_id[0] != session


async def test_closing_ends_a_session_that_a_user_ends(url):
    """At the same time: no other one begins."""
    for _ in range(20):
        async with closing(open_registry(url)) as (registry,):
            client = ZooKeeperSession(registry).client
            await connected(registry)
            ending = asyncio.ensure_future(call(client.stop))
            await asyncio.sleep(0)
            await registry.aclose()
            await ending
            assert not client._connection.thread.is_alive()


async def test_a_user_that_ends_the_session_in_a_listener(url):
    """On kazoo's own thread: it isn't waited for."""
    async with closing(open_registry(url)) as (registry,):
        client, told = ZooKeeperSession(registry).client, []
        await connected(registry)

        def hear(state: str) -> None:
            told.append(state)
            if told.count("CONNECTED") == 1:
                client.stop()

        client.add_listener(hear)
        await call(client.stop)
        await eventually(lambda: told.count("CONNECTED") == 2, "another session")
        assert told.count("LOST") == 2
        assert await call(client.exists, "/zookeeper")


async def test_nobody_waits_beyond_the_end(url, through, proxy):
    """Neither calls of several requests, nor those that try again, nor recipes that wait for an event."""
    base = folder_of(url)
    async with closing(open_registry(through)) as (registry,):
        client = ZooKeeperSession(registry).client
        await call(client.Barrier(f"{base}/barrier").create)
        assert await call(client.Lock(f"{base}/lock").acquire)
        before = (
            lambda: client.Lock(f"{base}/lock").acquire(),
            lambda: client.LockingQueue(f"{base}/queue").get(),
            lambda: client.Barrier(f"{base}/barrier").wait(),
        )
        users = [asyncio.ensure_future(call(use)) for use in before]
        watchers = client._data_watchers, client._child_watchers
        await eventually(lambda: sum(map(len, watchers)) == 4, "all of them waiting")
        await cut_off(proxy, registry)
        meanwhile = (
            lambda: client.Lock(f"{base}/lock").acquire(),
            lambda: client.create(f"{base}/a/b", b"", makepath=True),
            lambda: client.retry(client.ensure_path, f"{base}/c/d"),
        )
        users += [asyncio.ensure_future(call(use)) for use in meanwhile]
        await eventually(lambda: client._queue, "requests that wait")
    for use in (lambda: client.create(f"{base}/e"), lambda: client.ensure_path(base), meanwhile[0]):
        users.append(asyncio.ensure_future(call(use)))
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*users, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {ConnectionClosedError, ConnectionLoss}


async def test_commands_to_the_server(url):
    """Over a connection of their own, which ends with them."""
    async with closing(open_registry(url)) as (registry,):
        client = ZooKeeperSession(registry).client
        assert await call(client.exists, "/zookeeper")
        own = client.dialer.socket
        assert (await call(client.server_version))[0] == 3
        assert await call(client.command, b"ruok") == "imok"
        assert client.dialer.socket is own


async def test_credentials_are_added_amid_requests(url):
    """The server answers to that at once, before what it was asked earlier."""
    async with closing(open_registry(url)) as (registry,):
        client = ZooKeeperSession(registry).client
        await connected(registry)
        before = connection(registry).up

        def use() -> None:
            for number in range(30):
                answers = [client.exists_async("/zookeeper") for _ in range(20)]
                assert client.add_auth("digest", f"user:{number}")
                assert all(answer.get(timeout=10) for answer in answers)

        await call(use)
        assert connection(registry).up is before
