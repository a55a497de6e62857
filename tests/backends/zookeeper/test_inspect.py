"""What a registry says of itself: whether records can be made, and nothing that doesn't fit together."""

import asyncio
import re

import pytest
from kazoo.security import ACL, Id, Permissions, make_digest_acl, make_digest_acl_credential
from tests.backends.zookeeper.support import PASSWORD, bare_client, entered, folder_of

from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import open_registry
from peerage.testing import View, eventually
from peerage.testing.suite import closing, registered
from peerage.testing.zookeeper import ZooKeeperServer

#: Everybody may read, one user may do everything.
GUARDED = (
    make_digest_acl("user", PASSWORD, all=True),
    ACL(Permissions.READ, Id("world", "anyone")),
)


@pytest.fixture(scope="module")
def lenient_server(tmp_path_factory):
    """A server that has an administrator of its own."""
    administrator = make_digest_acl_credential("super", PASSWORD)
    options = [f"-Dzookeeper.DigestAuthenticationProvider.superDigest={administrator}"]
    with ZooKeeperServer(tmp_path_factory.mktemp("super"), jvm=options) as server:
        yield server


@pytest.fixture(scope="module")
def careless_server(tmp_path_factory):
    """A server that doesn't heed access lists."""
    with ZooKeeperServer(tmp_path_factory.mktemp("careless"), jvm=["-Dzookeeper.skipACL=yes"]) as server:
        yield server


async def guard(server: ZooKeeperServer, path: str) -> None:
    async with bare_client(server.address, auth_data=[("digest", f"user:{PASSWORD}")]) as client:
        await asyncio.to_thread(client.ensure_path, path)
        await asyncio.to_thread(client.set_acls, path, list(GUARDED))


async def test_a_wrong_password_where_everybody_may_read(url, server):
    """The user is right and can watch, but not advertise."""
    await guard(server, folder_of(url))
    async with (
        closing(open_registry(entered(url, password="wrong")), open_registry(entered(url))) as (here, there),
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
    """No list has the name, the server lets it pass all the same."""
    url = f"zookeeper://{lenient_server.address}/super?acl=open"
    await guard(lenient_server, folder_of(url))
    async with closing(open_registry(entered(url, "super")), open_registry(url)) as (here, outside):
        assert (await here.inspect()).writable
        assert not (await outside.inspect()).writable
        await registered(here, "App", b"{}")


async def test_a_server_that_heeds_no_access_list(careless_server):
    """What a list forbids can be done."""
    url = f"zookeeper://{careless_server.address}/careless"
    await guard(careless_server, folder_of(url))
    async with closing(open_registry(url)) as (here,):
        health = await here.inspect()
        assert (health.writable, health.problem) == (True, None)
        await registered(here, "App", b"{}")


async def test_a_folder_that_is_still_to_be_made(url, server):
    """It is up to the node in which it would be made."""
    path = folder_of(url).rpartition("/")[0]
    async with closing(open_registry(url), open_registry(entered(url))) as (here, inside):
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
    """Nothing can be made in a node that belongs to a process; what is wrong is said by number."""
    async with bare_client(server.address) as client, closing(open_registry(url)) as (here,):
        await asyncio.to_thread(client.create, folder_of(url), b"", ephemeral=True, makepath=True)
        health = await here.inspect()
        assert not health.writable
        assert "-108" in health.problem


async def test_asking_leaves_no_trace(url, server):
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


async def test_a_connection_that_is_lost_meanwhile(through, proxy):
    """Either there is a server or there is none."""
    async with closing(open_registry(through)) as (here,):
        assert (await here.inspect()).state == "connected"
        proxy.delay(0.15)
        asking = asyncio.ensure_future(here.inspect())
        await asyncio.sleep(0)
        await proxy.refuse()
        health = await asking
        assert (health.state, health.writable, health.server) == ("stale", False, None)
        assert (health.version, health.session_timeout) == (None, None)
        assert health.details["session"] == "none"
        assert health.problem


async def test_another_connection_meanwhile(through, proxy):
    """What is said is of that one."""
    async with closing(open_registry(through)) as (here,):
        before = (await here.inspect()).server
        proxy.delay(0.05)
        asking = asyncio.ensure_future(here.inspect())
        await asyncio.sleep(0)
        first = here.connection.up
        proxy.cut()
        health = await asking
        assert here.connection.up is not first
        if health.state == "connected":
            assert (health.server, health.session_timeout) == (before, 3.0)
        else:
            assert (health.server, health.session_timeout) == (None, None)


async def test_a_registry_that_is_closed_meanwhile(through, proxy):
    """As with any other call."""
    async with closing(open_registry(through)) as (here,):
        await here.inspect()
        proxy.black_hole()
        asking = asyncio.ensure_future(here.inspect())
        await asyncio.sleep(0)
        await here.aclose()
        with pytest.raises(RegistryClosedError):
            await asking


async def test_a_server_that_does_not_answer(through, proxy):
    """Connected for all that is known, but nobody says that records could be made."""
    async with closing(open_registry(through)) as (here,):
        await here.inspect()
        lost = here.connection.up
        proxy.black_hole()
        health = await here.inspect()
        assert (health.state, health.writable) == ("connected", False)
        assert "wasn't answered" in health.problem
        await proxy.heal()
        await eventually(lambda: here.connection.up not in {None, lost}, "another connection")
        assert (await here.inspect()).writable
