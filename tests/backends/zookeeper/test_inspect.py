"""inspect() reports whether records can be created, and its answers belong to one connection."""

import asyncio
import re

import pytest
from kazoo.security import ACL, Id, Permissions, make_digest_acl, make_digest_acl_credential
from tests.backends.zookeeper.support import PASSWORD, bare_client, folder_of, with_credentials

from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import open_registry
from peerage.testing import View, begun, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import ZooKeeperServer

#: Every client may read; one user has all rights.
GUARDED = (
    make_digest_acl("user", PASSWORD, all=True),
    ACL(Permissions.READ, Id("world", "anyone")),
)


@pytest.fixture(scope="module")
def lenient_server(tmp_path_factory):
    """A server with an administrator."""
    administrator = make_digest_acl_credential("super", PASSWORD)
    options = [f"-Dzookeeper.DigestAuthenticationProvider.superDigest={administrator}"]
    with ZooKeeperServer(tmp_path_factory.mktemp("super"), jvm=options) as server:
        yield server


@pytest.fixture(scope="module")
def careless_server(tmp_path_factory):
    """A server that ignores access lists."""
    with ZooKeeperServer(tmp_path_factory.mktemp("careless"), jvm=["-Dzookeeper.skipACL=yes"]) as server:
        yield server


async def guard(server: ZooKeeperServer, path: str) -> None:
    async with bare_client(server.address, auth_data=[("digest", f"user:{PASSWORD}")]) as client:
        await asyncio.to_thread(client.ensure_path, path)
        await asyncio.to_thread(client.set_acls, path, list(GUARDED))


async def test_a_wrong_password_where_all_may_read(url, server):
    """Watching works, advertising doesn't."""
    await guard(server, folder_of(url))
    async with (
        closing(
            open_registry(with_credentials(url, password="wrong")), open_registry(with_credentials(url))
        ) as (here, there),
        View(here) as view,
    ):
        await view.until_data([])
        health = await here.inspect()
        assert (health.state, health.writable) == ("connected", False)
        assert "credentials" in health.problem
        assert folder_of(url) in health.problem
        assert "wrong" not in repr(health)
        with pytest.raises(RegistryDeniedError):
            await registered(here, "Refused", b"{}")
        assert (await there.inspect()).writable


async def test_an_administrator_of_the_server(lenient_server):
    """The server allows everything, although no list names the user."""
    url = f"zookeeper://{lenient_server.address}/super?acl=open"
    await guard(lenient_server, folder_of(url))
    async with closing(open_registry(with_credentials(url, "super")), open_registry(url)) as (here, outside):
        assert (await here.inspect()).writable
        assert not (await outside.inspect()).writable
        await registered(here, "App", b"{}")


async def test_a_server_that_ignores_access_lists(careless_server):
    """What a list forbids works."""
    url = f"zookeeper://{careless_server.address}/careless"
    await guard(careless_server, folder_of(url))
    async with closing(open_registry(url)) as (here,):
        health = await here.inspect()
        assert (health.writable, health.problem) == (True, None)
        await registered(here, "App", b"{}")


async def test_a_folder_that_does_not_exist_yet(url, server):
    """The access list of the node above decides."""
    path = folder_of(url).rpartition("/")[0]
    async with closing(open_registry(url), open_registry(with_credentials(url))) as (here, inside):
        assert (await here.inspect()).writable
        await guard(server, path)
        health = await here.inspect()
        assert not health.writable
        assert re.search(rf"write to {path}:", health.problem)
        assert (await inside.inspect()).writable
        with pytest.raises(RegistryDeniedError):
            await registered(here, "Refused", b"{}")
        await registered(inside, "App", b"{}")


async def test_a_folder_that_is_a_record(url, server):
    """No node can be created below an ephemeral node; the problem names the error number."""
    async with bare_client(server.address) as client, closing(open_registry(url)) as (here,):
        await asyncio.to_thread(client.create, folder_of(url), b"", ephemeral=True, makepath=True)
        health = await here.inspect()
        assert not health.writable
        assert "-108" in health.problem


async def test_inspecting_leaves_no_trace(url, server):
    """No event, no node, no number used up."""
    async with (
        closing(open_registry(url), open_registry(url)) as (here, there),
        View(there) as view,
        bare_client(server.address) as client,
    ):
        await registered(here, "App", b"1")
        await view.until_data([b"1"])
        before = await asyncio.to_thread(client.exists, folder_of(url))
        for _ in range(5):
            assert (await here.inspect()).writable
        assert await asyncio.to_thread(client.exists, folder_of(url)) == before
        await registered(here, "App", b"2")
        await view.until_data([b"1", b"2"])
        assert set(view.records) == {"App.0000000000", "App.0000000001"}
        assert len(view.events) == 3


async def test_inspecting_while_the_connection_is_lost(through, proxy):
    """The answer names a server, or says that there is none."""
    async with closing(open_registry(through)) as (here,):
        assert (await here.inspect()).state == "connected"
        proxy.delay(0.15)
        asking = await begun(here.inspect())
        await proxy.refuse()
        health = await asking
        assert (health.state, health.writable, health.server) == ("stale", False, None)
        assert (health.version, health.session_timeout) == (None, None)
        assert health.details["session"] == "none"
        assert health.problem


async def test_inspecting_while_the_connection_is_replaced(through, proxy):
    """The whole answer is about the new connection."""
    async with closing(open_registry(through)) as (here,):
        before = (await here.inspect()).server
        proxy.delay(0.05)
        asking = await begun(here.inspect())
        first = here.connection.up
        proxy.cut()
        health = await asking
        assert here.connection.up is not first
        if health.state == "connected":
            assert (health.server, health.session_timeout) == (before, 3.0)
        else:
            assert (health.server, health.session_timeout) == (None, None)


async def test_inspecting_while_the_registry_is_closed(through, proxy):
    """It raises RegistryClosedError, as any call does."""
    async with closing(open_registry(through)) as (here,):
        await here.inspect()
        proxy.black_hole()
        asking = await begun(here.inspect())
        await here.aclose()
        with pytest.raises(RegistryClosedError):
            await asking


async def test_inspecting_a_server_that_does_not_answer(through, proxy):
    """Connected as far as known, but whether records can be created isn't."""
    async with closing(open_registry(through)) as (here,):
        await here.inspect()
        lost = here.connection.up
        proxy.black_hole()
        health = await here.inspect()
        assert (health.state, health.writable) == ("connected", False)
        assert "didn't answer" in health.problem
        await proxy.heal()
        await eventually(lambda: here.connection.up not in {None, lost}, "another connection")
        assert (await here.inspect()).writable
