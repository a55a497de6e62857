"""Sessions that the proxy has seen can be ended at a real server."""

import asyncio
from contextlib import suppress

import pytest

from peerage.testing.zookeeper import Proxy, ZooKeeperServer


async def test_a_session_is_expired(zookeeper, raw_client):
    """Its ephemeral nodes vanish, and its client is refused when it reconnects; others stay."""

    def begin(address, path):
        client = raw_client(address)
        assert client.create(path, ephemeral=True) == 0
        return client

    def check(client, other, address):
        assert client.hear() == b""
        assert not other.exists("/ours")
        assert other.exists("/others")
        with raw_client(address, session=client.session, password=client.password) as back:
            assert back.session == 0
        client.reset()
        assert other.end() == 0
        other.reset()

    async with Proxy(zookeeper.address) as proxy:
        client = await asyncio.to_thread(begin, proxy.address, "/ours")
        other = await asyncio.to_thread(begin, zookeeper.address, "/others")
        assert set(proxy.sessions) == {client.session}
        await proxy.expire_sessions()
        assert not proxy.sessions
        await asyncio.to_thread(check, client, other, proxy.address)


async def test_a_client_that_reconnects_at_once_loses_its_session(zookeeper, raw_client):
    """However often it takes the session back."""

    def come_back(address, session, password):
        while True:
            # The client can take the session back, or end it, before the first message of the server.
            with (
                suppress(ConnectionError),
                raw_client(address, session=session, password=password) as back,
            ):
                if back.session == 0:
                    return
                back.hear()

    def begin(address):
        with raw_client(address, timeout=20_000) as client:
            return client.session, client.password

    async with Proxy(zookeeper.address) as proxy:
        for _ in range(10):
            session, password = await asyncio.to_thread(begin, proxy.address)
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(come_back, proxy.address, session, password))
                await proxy.expire_sessions()


async def test_disconnected_sessions_are_expired_too(zookeeper, raw_client):
    """The proxy connects to the server directly. A session that has ended isn't waited for."""

    def begin(address):
        ended, client = raw_client(address), raw_client(address)
        assert ended.end() == 0
        ended.reset()
        return client

    def come_back(client, address):
        client.reset()
        with raw_client(address, session=client.session, password=client.password) as back:
            return back.session

    async with Proxy(zookeeper.address) as proxy:
        client = await asyncio.to_thread(begin, proxy.address)
        assert len(proxy.sessions) == 2
        await proxy.refuse()
        await proxy.expire_sessions()
        await proxy.heal()
        assert await asyncio.to_thread(come_back, client, proxy.address) == 0


async def test_a_server_that_is_down_is_an_error(tmp_path, raw_client):
    """The session is kept, because it still exists."""

    def begin(address):
        with raw_client(address, timeout=400) as client:
            return client.session

    with ZooKeeperServer(tmp_path) as server:
        async with Proxy(server.address) as proxy:
            session = await asyncio.to_thread(begin, proxy.address)
            server.kill()
            with pytest.raises(ConnectionRefusedError):
                await proxy.expire_sessions()
            assert set(proxy.sessions) == {session}
