"""Where access lists are configured, a stranger can do nothing: removing is up to the parent."""

import asyncio
import logging

import pytest
from kazoo.exceptions import NoAuthError
from tests.backends.zookeeper.support import bare_client, folder_of

from peerage import Discovery, RegistryDenied, open_registry
from peerage.registry import Snapshot
from peerage.testing import View
from peerage.testing.suite import closing, registered

PASSWORD = "pass-7391-word"


@pytest.fixture
def guarded(url) -> str:
    """The same registry, entered with credentials."""
    return url.replace("://", f"://user:{PASSWORD}@")


async def test_a_stranger_can_neither_read_nor_change_nor_remove(url, guarded, server):
    """A record, a secret, and the folders they are in; who has the credentials can."""
    folder, secret = folder_of(url), f"{folder_of(url)}-auth/key"
    async with closing(open_registry(guarded), open_registry(guarded)) as (here, there):
        owner = await registered(here, "Guarded", b"{}")
        assert await here.secrets.obtain(secret, lambda: b"secret") == b"secret"
        async with View(there) as view, bare_client(server.address) as stranger:
            await view.until_data([b"{}"])
            assert await there.secrets.obtain(secret, lambda: b"another") == b"secret"
            parents = [folder, folder.rpartition("/")[0], secret.rpartition("/")[0]]
            for path in (f"{folder}/{owner.node}", secret, *parents):
                for call, arguments in (
                    (stranger.get, (path,)),
                    (stranger.set, (path, b"forged")),
                    (stranger.create, (f"{path}/forged", b"forged")),
                ):
                    with pytest.raises(NoAuthError):
                        await asyncio.to_thread(call, *arguments)
            for path in (f"{folder}/{owner.node}", secret, folder):
                with pytest.raises(NoAuthError):
                    await asyncio.to_thread(stranger.delete, path)
            with pytest.raises(NoAuthError):
                await asyncio.to_thread(
                    stranger.create, f"{folder}/Forged.", b"{}", ephemeral=True, sequence=True
                )
            await owner.withdraw()
            await view.until_data([])


async def test_a_registry_without_the_credentials_says_so(url, guarded, caplog):
    """Watching is stale, never empty; advertising and secrets are denied; a line each, without a password."""
    caplog.set_level(logging.DEBUG)
    secret = f"{folder_of(url)}-auth/key"
    async with closing(open_registry(guarded), open_registry(url)) as (here, outside):
        await registered(here, "Guarded", b"{}")
        await here.secrets.obtain(secret, lambda: b"secret")
        async with View(outside) as view:
            await view.until(lambda: view.stale)
            assert folder_of(url) in view.stale
            assert not any(isinstance(event, Snapshot) for event in view.events)
            with pytest.raises(RegistryDenied, match="credentials"):
                await outside.advertise("Outside", b"{}").registered()
            with pytest.raises(RegistryDenied, match="credentials"):
                await outside.secrets.obtain(secret, lambda: b"mine")
            with pytest.raises(RegistryDenied, match="credentials"):
                await anext(aiter(outside.secrets.follow(secret)))
            health = await outside.inspect()
            assert (health.state, health.writable) == ("stale", False)
            assert health.problem
        healthy = await here.inspect()
        assert (healthy.state, healthy.writable, healthy.problem) == ("connected", True, None)
        assert healthy.version.startswith("3.")
        assert healthy.session_timeout == 3.0
        assert PASSWORD not in repr((here.url, healthy))
    async with Discovery(url) as discovery:
        with pytest.raises(RegistryDenied):
            await discovery.advertise(port=8080)
    assert PASSWORD not in caplog.text


async def test_open_nodes_are_closed_where_that_is_written_out(url, guarded, server, caplog):
    """Without the option they are left, with a warning; with it a stranger's record can't get in any more."""
    folder = folder_of(url)
    async with bare_client(server.address) as stranger:
        await asyncio.to_thread(stranger.ensure_path, folder)
        async with closing(open_registry(guarded)) as (registry,):
            await registered(registry, "Careful", b"{}")
            assert "acl=creator" in (await registry.inspect()).problem
        assert sum(folder in record.getMessage() for record in caplog.records) == 1
        await asyncio.to_thread(stranger.create, f"{folder}/Stranger", b"{}", ephemeral=True)
        async with closing(open_registry(f"{guarded}&acl=creator")) as (registry,):
            await registered(registry, "Strict", b"{}")
            assert (await registry.inspect()).problem is None
            for path in (folder, folder.rpartition("/")[0]):
                with pytest.raises(NoAuthError):
                    await asyncio.to_thread(stranger.create, f"{path}/Forged", b"{}")
