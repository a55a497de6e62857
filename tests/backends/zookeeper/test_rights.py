"""Records in folders whose access lists forbid something."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import EXCEPTIONS, NoAuthError
from kazoo.security import ACL, OPEN_ACL_UNSAFE, Id, Permissions, make_digest_acl
from tests.backends.zookeeper.support import (
    bare_client,
    connection,
    cut_off,
    folder_of,
    sent,
    with_credentials,
)

from peerage.backends.zookeeper.failures import Failure
from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.pauses import Pauses
from peerage.backends.zookeeper.registry import ZooKeeperRegistry
from peerage.errors import RegistryDeniedError
from peerage.registry import Registry, open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import ZooKeeperServer


@pytest.fixture
def session_timeout() -> int:
    """Seconds until the server considers a silent process dead."""
    return 20


async def lose_session(registry: Registry) -> None:
    """End the client without a word: the session expires at the server, and another begins."""
    session = connection(registry).up.session
    connection(registry).client.abort()
    await eventually(
        lambda: getattr(connection(registry).up, "session", session) != session, "another session"
    )


@pytest.fixture
async def append_only(url: str, server: ZooKeeperServer) -> AsyncIterator[KazooClient]:
    """All clients may add records to the folder and none may remove one; yields its creator."""

    def make(client: KazooClient, folder: str) -> None:
        client.ensure_path(folder.rpartition("/")[0])
        client.create(folder, acl=[ACL(Permissions.READ | Permissions.CREATE, Id("world", "anyone"))])

    async with bare_client(server.address) as client:
        await asyncio.to_thread(make, client, folder_of(url))
        yield client


async def test_a_left_over_node_that_may_not_be_removed(append_only, url, caplog):
    """It vanishes with its session; the new record doesn't wait for that."""
    async with closing(open_registry(url)) as (here,):
        owner = await registered(here, "Kept", b"1")
        left = owner.name
        await lose_session(here)
        assert await owner.registered() != left
        assert set(await asyncio.to_thread(append_only.get_children, folder_of(url))) == {left, owner.name}
    lines = [each.getMessage() for each in caplog.records if left in each.getMessage()]
    assert len(lines) == 1, lines


@pytest.mark.usefixtures("append_only")
async def test_an_unconfirmed_node_that_may_not_be_removed(url, through, proxy):
    """It is treated as the record of its session, which it would have been."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        await registered(here, "First", b"first")
        proxy.swallow_answers()
        owner = here.advertise("Lost", b"lost")
        await view.until(lambda: b"lost" in view.data.values())
        (left,) = (node for node in view.records if node.startswith("Lost"))
        session = connection(here).up.session
        connection(here).client.abort()
        await proxy.heal()
        assert await owner.registered() != left
        assert connection(here).up.session != session
        await view.until(lambda: {left, owner.name} < set(view.records))


async def test_a_lost_answer_to_a_create_in_a_folder_that_may_not_be_listed(url, through, server, proxy):
    """Whether a node was created can't be found out; the record exists, at worst twice."""
    folder = folder_of(url)
    async with bare_client(server.address) as client, closing(open_registry(through)) as (here,):
        await registered(here, "First", b"first")
        proxy.swallow_answers()
        owner = here.advertise("Lost", b"lost")
        await eventually(lambda: len(client.get_children(folder)) == 2)
        rights = ACL(Permissions.CREATE | Permissions.DELETE, Id("world", "anyone"))
        admin = make_digest_acl("admin", "admin", all=True)
        await asyncio.to_thread(client.set_acls, folder, [rights, admin])
        await proxy.heal()
        assert await owner.registered()
        node = owner.name
        await owner.withdraw()
        await asyncio.to_thread(client.add_auth, "digest", "admin:admin")
        assert node not in await asyncio.to_thread(client.get_children, folder)


async def test_a_record_that_may_not_be_read_any_more_can_be_withdrawn(url, through, server, proxy):
    """The access list of the folder decides about removing, not the record's."""
    folder = folder_of(url)
    async with closing(open_registry(through)) as (here,), bare_client(server.address) as client:
        owner = await registered(here, "Closed", b"1")
        rights = [make_digest_acl("admin", "admin", all=True)]
        await asyncio.to_thread(client.set_acls, f"{folder}/{owner.name}", rights)
        await cut_off(proxy, here)
        await owner.withdraw()
        await proxy.heal()
        marker = await registered(here, "Marker", b"marker")
        await eventually(lambda: client.get_children(folder) == [marker.name], "the record's removal")


async def test_a_record_that_may_not_be_removed(append_only, url, caplog):
    """Withdrawing returns, and the log says when the record vanishes."""
    async with closing(open_registry(url)) as (here,):
        owner = await registered(here, "Stays", b"1")
        node = owner.name
        await owner.withdraw()
        assert owner.name is None
        assert node in await asyncio.to_thread(append_only.get_children, folder_of(url))
    (line,) = [each.getMessage() for each in caplog.records]
    assert node in line
    assert folder_of(url) in line


@pytest.fixture
async def patient(url: str) -> AsyncIterator[Registry]:
    """A registry that tries refused records again after milliseconds."""
    async with closing(ZooKeeperRegistry(parse(url), None, Pauses(refused=lambda: 0.02))) as (registry,):
        yield registry


async def test_a_refused_record_is_registered_once_its_folder_is_opened(url, server, patient):
    """No event reports a changed access list, so it is tried again."""
    folder = folder_of(url)
    async with bare_client(server.address) as client:
        await asyncio.to_thread(client.ensure_path, folder)
        readable = [ACL(Permissions.READ | Permissions.ADMIN, Id("world", "anyone"))]
        await asyncio.to_thread(client.set_acls, folder, readable)
        owner = patient.advertise("Late", b"1")
        with pytest.raises(RegistryDeniedError):
            await owner.registered()
        await asyncio.to_thread(client.set_acls, folder, OPEN_ACL_UNSAFE)
        await eventually(lambda: owner.name, "the record")
        assert await owner.registered() == owner.name


async def test_a_refused_update_is_written_once_its_node_is_opened(url, server, patient):
    """For example that a service is draining."""
    closed = [ACL(Permissions.READ | Permissions.ADMIN, Id("world", "anyone"))]
    async with bare_client(server.address) as client, View(patient) as view:
        owner = await registered(patient, "Draining", b"1")
        path = f"{folder_of(url)}/{owner.name}"
        await asyncio.to_thread(client.set_acls, path, closed)
        owner.update(b"2")
        with pytest.raises(RegistryDeniedError):
            await owner.registered()
        await asyncio.to_thread(client.set_acls, path, OPEN_ACL_UNSAFE)
        await view.until_data([b"2"])


async def test_an_error_that_kazoo_does_not_know_fails_its_request_alone(url, server, monkeypatch):
    """The session goes on, with all other records of the process."""
    closed = [ACL(Permissions.READ | Permissions.ADMIN, Id("world", "anyone"))]
    async with closing(open_registry(url)) as (here,), bare_client(server.address) as client:
        kept = await registered(here, "Kept", b"1")
        name, up = kept.name, connection(here).up
        await asyncio.to_thread(client.set_acls, f"{folder_of(url)}/{name}", closed)
        monkeypatch.delitem(EXCEPTIONS, NoAuthError.code)
        with pytest.raises(Failure, match=f"error number {NoAuthError.code}"):
            await connection(here).write(f"{folder_of(url)}/{name}", b"2")
        assert connection(here).up is up
        assert kept.name == name


async def test_a_record_has_no_name_once_its_session_is_certainly_over(url):
    """The client has ended, and the next one begins later."""
    registry = ZooKeeperRegistry(parse(url), None, Pauses(restart=lambda: 60.0))
    async with closing(registry) as (here,):
        owner = await registered(here, "Over", b"1")
        connection(here).client.abort()
        await eventually(lambda: owner.name is None, "the end of the name")


async def test_withdrawing_a_refused_record(url, guarded, caplog):
    """There is nothing to remove and nothing to log."""
    async with closing(open_registry(guarded), open_registry(url)) as (inside, outside):
        await registered(inside, "Guarded", b"1")
        with pytest.raises(RegistryDeniedError):
            await registered(outside, "Refused", b"1")
        caplog.clear()
        owner = outside.advertise("Withdrawn", b"1")
        await sent(outside)
        await owner.withdraw()
        assert owner.name is None
    assert not caplog.records


async def test_a_folder_that_is_open_and_may_not_be_closed(url, server, caplog):
    """It is logged once, with who can close it, and inspect() says the same."""
    caplog.set_level(logging.WARNING)
    folder = folder_of(url)
    rights = Permissions.READ | Permissions.WRITE | Permissions.CREATE | Permissions.DELETE
    async with bare_client(server.address) as client:
        await asyncio.to_thread(client.ensure_path, folder.rpartition("/")[0])
        await asyncio.to_thread(client.create, folder, acl=[ACL(rights, Id("world", "anyone"))])
        async with closing(open_registry(f"{with_credentials(url)}&acl=creator")) as (here,):
            await registered(here, "First", b"1")
            await registered(here, "Second", b"2")
            health = await here.inspect()
    (line,) = [each.getMessage() for each in caplog.records]
    assert f"what is in {folder} " in line
    assert "access list" in line
    assert "may not close it" in line
    assert health.writable
    assert health.problem == line
