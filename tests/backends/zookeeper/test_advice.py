"""inspect() reports which server answers, what is allowed, and what to do about a problem."""

import asyncio
import time

from kazoo.security import READ_ACL_UNSAFE, make_digest_acl
from tests.backends.zookeeper.support import (
    CLOSING,
    OTHER,
    PASSWORD,
    bare_client,
    folder_of,
    with_credentials,
)

from peerage import open_registry
from peerage.testing import View
from peerage.testing.harness import closing, registered


async def test_the_server_and_the_access_are_reported(url, guarded):
    """Server, version, session time-out and access, also without an attempt to advertise."""
    async with closing(open_registry(guarded), open_registry(url)) as (here, outside):
        await registered(here, "Guarded", b"{}")
        health = await here.inspect()
        assert (health.state, health.writable, health.problem) == ("connected", True, None)
        assert health.version.startswith("3.")
        assert health.server in url
        assert health.session_timeout == 3.0
        assert PASSWORD not in repr((here.url, health))
        denied = await outside.inspect()
        assert not denied.writable
        assert folder_of(url) in denied.problem
        assert "credentials" in denied.problem
        assert (denied.version, denied.server) == (health.version, health.server)
        async with View(outside) as view:
            await view.until(lambda: view.stale)
            denied = await outside.inspect()
            assert (denied.state, denied.writable) == ("stale", False)
            assert denied.problem


async def test_read_only_access_is_reported(url, server):
    """Connected and not writable, in a folder that all may read and few may change."""
    folder = folder_of(url)
    acls = [*READ_ACL_UNSAFE, make_digest_acl("user", PASSWORD, all=True)]
    async with bare_client(server.address) as administrator:
        await asyncio.to_thread(administrator.ensure_path, folder)
        await asyncio.to_thread(administrator.set_acls, folder, acls)
    async with (
        closing(
            open_registry(with_credentials(url)),
            open_registry(with_credentials(url, "other", OTHER)),
            open_registry(url),
        ) as (member, other, anonymous),
    ):
        assert (await member.inspect()).writable
        for reader in (other, anonymous):
            async with View(reader) as view:
                await view.until(lambda: view.ready)
                health = await reader.inspect()
                assert (health.state, health.writable) == ("connected", False)
                assert folder in health.problem


async def test_a_server_that_is_down(guarded, server, proxy, loud):
    """Stale within a second, with advice, whether the server was up before or never."""
    url = guarded.replace(server.address, proxy.address)
    async with closing(open_registry(url), open_registry(url)) as (before, never):
        await registered(before, "Guarded", b"{}")
        assert (await before.inspect()).state == "connected"
        await proxy.aclose()
        async with View(before) as view:
            await view.until(lambda: view.stale)
        for registry in (before, never):
            begun = time.monotonic()
            health = await registry.inspect()
            assert time.monotonic() - begun < CLOSING
            assert (health.state, health.writable) == ("stale", False)
            assert (health.server, health.version) == (None, None)
            assert "check that ZooKeeper runs" in health.problem
            assert PASSWORD not in repr(health)
    assert PASSWORD not in loud.text
