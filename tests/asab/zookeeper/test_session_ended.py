"""Calls of kazoo's client that end a session or a connection."""

import asyncio
import threading

import pytest
from kazoo.exceptions import ConnectionClosedError, ConnectionLoss
from tests.asab.zookeeper.sessions import session_of
from tests.backends.zookeeper.support import connected, connection, cut_off, folder_of

from peerage.registry import open_registry
from peerage.testing import begun, eventually
from peerage.testing.harness import closing, registered

call = asyncio.to_thread


def client_threads() -> set[threading.Thread]:
    """The threads of all clients of ZooKeeper in this process."""
    return {each for each in threading.enumerate() if each.name.startswith("peerage: zookeeper")}


async def test_a_session_ended_by_the_client_is_followed_by_another(url):
    """By stop(), close(), start() and restart(), with the same client, its watches and records."""
    others = client_threads()
    async with closing(open_registry(url)) as (registry,):
        client, seen = session_of(registry).client, []
        record = await registered(registry, "Kept", b"1")
        client.add_listener(seen.append)
        await call(client.DataWatch, "/zookeeper", lambda *_: seen.append("data"))
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
            assert session_of(registry).client is client
        # The connection's and two for callbacks. After each reconnect kazoo's DataWatch reads its node in
        # another thread, which ends with the answer.
        await eventually(
            lambda: client_threads() - others, "three threads", wanted=lambda left: len(left) == 3
        )
    assert seen[0] == "data"
    assert [each for each in seen if each != "data"] == ["LOST", "CONNECTED"] * 3 + ["LOST"]
    # Closed with the registry, for good.
    await call(client.stop)
    with pytest.raises(ConnectionClosedError):
        await call(client.start)


async def test_a_session_ended_by_the_client_in_an_outage(through, proxy):
    """The next session begins with the next connection."""
    async with closing(open_registry(through)) as (registry,):
        client = session_of(registry).client
        await connected(registry)
        session = connection(registry).up.session
        await cut_off(proxy, registry)
        await call(client.stop)
        await proxy.heal()
        await call(client.start)
        assert await call(client.exists, "/zookeeper")
        assert client.client_id[0] != session


async def test_closing_while_the_client_ends_its_session(url):
    """No other session begins."""
    for _ in range(20):
        async with closing(open_registry(url)) as (registry,):
            client = session_of(registry).client
            await connected(registry)
            ending = await begun(call(client.stop))
            await registry.aclose()
            await ending
            assert not client.thread.is_alive()


async def test_a_listener_that_ends_the_session(url):
    """stop() doesn't wait on kazoo's thread."""
    async with closing(open_registry(url)) as (registry,):
        client, seen = session_of(registry).client, []
        await connected(registry)

        def hear(state: str) -> None:
            seen.append(state)
            if seen.count("CONNECTED") == 1:
                client.stop()

        client.add_listener(hear)
        await call(client.stop)
        await eventually(lambda: seen.count("CONNECTED") == 2, "another session")
        assert seen.count("LOST") == 2
        assert await call(client.exists, "/zookeeper")


async def test_no_call_waits_beyond_the_end(url, through, proxy):
    """Neither calls of several requests, nor retries, nor recipes that wait for an event."""
    base = folder_of(url)
    async with closing(open_registry(through)) as (registry,):
        client = session_of(registry).client
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
    """They use another connection, which ends with them."""
    async with closing(open_registry(url)) as (registry,):
        client = session_of(registry).client
        assert await call(client.exists, "/zookeeper")
        own = client.dialer.socket
        assert (await call(client.server_version))[0] == 3
        assert await call(client.command, b"ruok") == "imok"
        assert client.dialer.socket is own


async def test_credentials_can_be_added_between_requests(url):
    """The server answers them at once, before earlier requests."""
    async with closing(open_registry(url)) as (registry,):
        client = session_of(registry).client
        await connected(registry)
        before = connection(registry).up

        def use() -> None:
            for number in range(30):
                answers = [client.exists_async("/zookeeper") for _ in range(20)]
                assert client.add_auth("digest", f"user:{number}")
                assert all(answer.get(timeout=10) for answer in answers)

        await call(use)
        assert connection(registry).up is before
