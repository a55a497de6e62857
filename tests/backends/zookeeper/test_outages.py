"""What users of a registry observe while servers, networks and sessions fail."""

import asyncio
import logging
import time
from collections.abc import Iterable

import pytest
from kazoo.client import KazooClient
from tests.backends.zookeeper.support import (
    agree,
    bare_client,
    folder_of,
    identity_of,
    located,
    never_empty,
    record,
    sent,
    truth,
    unanswered,
)

from peerage import Discovery
from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.notes import Connected, ConnectFailed, Disconnected, Request
from peerage.errors import NotReadyError
from peerage.registry import Advertisement, Put, Snapshot, open_registry
from peerage.testing import View, begun, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.waiting import PATIENCE
from peerage.testing.zookeeper import ZooKeeperServer


def names_seen(view: View, name: str) -> set[str]:
    """All records of this name that the watcher has seen."""
    found: set[str] = set()
    for event in view.events:
        records = event.records if isinstance(event, Snapshot) else ()
        found.update(each.name for each in records)
        if isinstance(event, Put):
            found.add(event.record.name)
    return {node for node in found if node.startswith(f"{name}.")}


def named(nodes: Iterable[str], name: str) -> list[str]:
    return [node for node in nodes if node.startswith(f"{name}.")]


def replace_session(connection: Connection, address: str) -> None:
    """Block the event loop until an answer, the end of the session and the next one are reported."""
    deadline = time.monotonic() + PATIENCE
    session, notes = connection.up.session, connection._notes
    while not notes:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    password = connection.client._session_passwd
    while not any(isinstance(note, Connected) and note.session != session for note in tuple(notes)):
        assert time.monotonic() < deadline
        thief = KazooClient(address, client_id=(session, password))
        thief.start()
        thief.stop()
        thief.close()
        time.sleep(0.1)


def lose_server(connection: Connection, server: ZooKeeperServer) -> None:
    """Block the event loop until an answer, the loss and the reason for it are reported."""
    deadline = time.monotonic() + PATIENCE
    notes = connection._notes
    for kind, act in ((Request, server.kill), (Disconnected, lambda: None), (ConnectFailed, lambda: None)):
        while not notes or not isinstance(notes[-1], kind):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        act()


# The server


async def test_a_server_killed_and_restarted(tmp_path, caplog):
    """Sessions, nodes and answers survive; one line is logged at its beginning, one at its end."""
    caplog.set_level(logging.INFO, "peerage")
    with ZooKeeperServer(tmp_path) as server:
        url = f"zookeeper://{server.address}/asab?session_timeout=4"
        async with (
            closing(open_registry(url)) as (there,),
            Discovery(url, identity=identity_of("kept")) as discovery,
            View(there) as view,
            View(discovery.registry) as own,
        ):
            owners = [await registered(there, "Other", record("other", number)) for number in range(20)]
            kept = await discovery.advertise(port=8080)
            nodes = {kept.name, *(owner.name for owner in owners)}
            await view.until(lambda: set(view.records) == nodes)
            await located(discovery, "kept", 1)
            async with never_empty("kept", discovery):
                server.kill()
                await view.until(lambda: view.stale)
                await own.until(lambda: own.stale)
                await eventually(lambda: discovery.stale)
                server.launch()
                await asyncio.to_thread(server.wait)
                await eventually(lambda: discovery.stale is None)
                await asyncio.gather(kept.registered(), *(owner.registered() for owner in owners))
                assert set(await agree(url, view, own)) == nodes
            assert len(await discovery.locate(service_id="other")) == 20
            assert {kept.name, *(owner.name for owner in owners)} == nodes
        lines = [each.getMessage() for each in caplog.records if each.name == "peerage.outage_log"]
        assert len(lines) == 2, lines
        assert lines[0].startswith("Out of touch with the registry")
        assert lines[1].startswith("In touch with the registry")


async def test_a_service_that_starts_before_the_server(tmp_path):
    """It advertises at once, and is registered when the server comes."""
    server = ZooKeeperServer(tmp_path)
    try:
        url = f"zookeeper://{server.address}/asab?session_timeout=4"
        async with Discovery(url, identity=identity_of("early"), ready_timeout=0.05) as discovery:
            async with asyncio.timeout(PATIENCE):
                registration = await discovery.advertise(port=8080)
            assert registration.name is None
            with pytest.raises(NotReadyError):
                await discovery.locate(service_id="early")
            server.launch()
            await asyncio.to_thread(server.wait)
            node = await registration.registered()
            await located(discovery, "early", 1)
            assert list(await truth(url)) == [node]
    finally:
        server.kill()


async def test_a_server_that_is_lost_while_it_is_read(tmp_path):
    """Watchers get the snapshot, and after it Stale."""
    with ZooKeeperServer(tmp_path) as server:
        url = f"zookeeper://{server.address}/asab?session_timeout=4"
        async with closing(open_registry(url)) as (here,), View(here) as view:
            await view.until(lambda: view.ready)
            # A new watcher needs a reading.
            async with View(here) as newcomer:
                await sent(here)
                lose_server(here.connection, server)
                await newcomer.until(lambda: newcomer.ready and newcomer.stale)
                await view.until(lambda: view.stale)


# The session


async def test_an_expired_session_is_replaced(url, through, proxy):
    """Each of three records is registered once more, as another node, and others see it."""
    async with (
        Discovery(through, identity=identity_of("back")) as here,
        Discovery(url) as there,
        View(here.registry) as own,
        View(there.registry) as view,
    ):
        registrations = [await here.advertise(port=port) for port in (8001, 8002, 8003)]
        before = {each.name for each in registrations}
        await located(there, "back", 3)
        await proxy.expire_sessions()
        await view.until(lambda: len(view.records) == 3 and not before & set(view.records))
        after = {await each.registered() for each in registrations}
        assert set(await agree(url, own, view)) == after
        assert len(names_seen(view, "Application")) == 6
        await located(there, "back", 3)
        await located(here, "back", 3)


async def test_a_session_replaced_while_the_loop_was_busy(url, server):
    """What was begun for one session isn't finished in the next: one node, not two."""
    async with closing(open_registry(url), open_registry(url)) as (here, there):
        await registered(here, "First", b"first")
        owner = here.advertise("Once", b"1")
        await sent(here)
        owner.update(b"2")
        replace_session(here.connection, server.address)
        await owner.registered()
        await registered(here, "Marker", b"marker")
        await registered(there, "Marker", b"marker")
        true = await truth(url)
        assert {node: true[node] for node in named(true, "Once")} == {owner.name: b"2"}


# Answers that never come


async def test_a_lost_answer_to_a_create(url, through, proxy):
    """The node that was created is taken, and gets what was updated meanwhile."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        await registered(here, "First", b"first")
        await view.until_data([b"first"])
        proxy.swallow_answers()
        owner, changed = here.advertise("Lost", b"lost"), here.advertise("Changed", b"before")
        await view.until_data([b"first", b"lost", b"before"])
        assert owner.name is None
        changed.update(b"after")
        nodes = set(view.records)
        await proxy.heal()
        await owner.registered()
        await changed.registered()
        await view.until_data([b"first", b"lost", b"after"])
        assert set(await agree(url, view)) == nodes
        assert {owner.name} == names_seen(view, "Lost")
        assert {changed.name} == names_seen(view, "Changed")


async def test_a_lost_answer_to_a_create_and_a_withdrawal(url, through, proxy):
    """The node that was created is removed."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        await registered(here, "First", b"first")
        proxy.swallow_answers()
        owner = here.advertise("Lost", b"lost")
        await view.until_data([b"first", b"lost"])
        withdrawal = await begun(owner.withdraw())
        await proxy.heal()
        await withdrawal
        await registered(here, "Marker", b"marker")
        await view.until_data([b"first", b"marker"])
        assert len(names_seen(view, "Lost")) == 1
        await agree(url, view)


async def test_a_lost_answer_to_a_create_and_a_lost_session(url, through, proxy):
    """The node vanishes with its session; the next session creates another one."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        await registered(here, "First", b"first")
        proxy.swallow_answers()
        owner = here.advertise("Lost", b"lost")
        await view.until_data([b"first", b"lost"])
        (lost,) = names_seen(view, "Lost")
        await proxy.expire_sessions()
        await proxy.heal()
        await owner.registered()
        await view.until(lambda: lost not in view.records)
        await view.until_data([b"first", b"lost"])
        assert owner.name != lost
        assert names_seen(view, "Lost") == {lost, owner.name}
        await agree(url, view)


async def test_a_lost_answer_to_an_update(url, through, proxy):
    """Updated and changed back without an answer: the last data is there in the end."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        owner = await unanswered(here, view, proxy, "Fickle", b"old")
        owner.update(b"new")
        await view.until_data([b"new"])
        owner.update(b"old")
        await proxy.heal()
        await registered(here, "Marker", b"marker")
        await view.until_data([b"old", b"marker"])
        assert names_seen(view, "Fickle") == {await owner.registered()}


# The connection


async def test_a_half_open_connection(url, through, proxy):
    """It is given up, what was known stays, and all works afterwards."""
    async with (
        Discovery(through, identity=identity_of("half")) as here,
        closing(open_registry(url)) as (there,),
        View(here.registry) as own,
        View(there) as view,
    ):
        registration = await here.advertise(port=8080)
        await located(here, "half", 1)
        async with never_empty("half", here):
            proxy.black_hole()
            await own.until(lambda: own.stale)
            await eventually(lambda: here.stale)
            missed = await registered(there, "Missed", b"missed")
            await proxy.heal()
            await own.until(lambda: missed.name in own.records)
        await eventually(lambda: here.stale is None)
        node = await registration.registered()
        # The session may have expired meanwhile.
        await view.until(lambda: set(view.records) == {node, missed.name})
        await agree(url, own, view)


async def test_an_update_in_an_outage(url, through, proxy, server):
    """It is written once afterwards; unchanged records aren't written; withdrawn ones are gone."""
    async with (
        closing(open_registry(through), open_registry(url)) as (here, there),
        View(here) as own,
        View(there) as view,
        bare_client(server.address) as client,
    ):
        kept, changed, gone = [await registered(here, name, b"1") for name in ("Kept", "Changed", "Gone")]
        await view.until_data([b"1", b"1", b"1"])

        async def stat(owner: Advertisement) -> object:
            return (await asyncio.to_thread(client.get, f"{folder_of(url)}/{owner.name}"))[1]

        before, events, leaver = await stat(kept), len(view.events), gone.name
        await proxy.refuse()
        await own.until(lambda: own.stale)
        changed.update(b"2")
        changed.update(b"3")
        await gone.withdraw()
        unsure = await begun(kept.registered())
        assert not unsure.done()
        await proxy.heal()
        await changed.registered()
        await unsure
        await view.until_data([b"1", b"3"])
        assert leaver not in view.records
        assert await stat(kept) == before
        assert (await stat(changed)).version == 1
        assert len(view.events) == events + 2
        await agree(url, own, view)


async def test_a_node_removed_by_an_administrator(url, server):
    """Its owner registers the record again."""
    async with (
        Discovery(url, identity=identity_of("removed")) as discovery,
        closing(open_registry(url)) as (there,),
        View(there) as view,
        bare_client(server.address) as client,
    ):
        registration = await discovery.advertise(port=8080)
        first = registration.name
        await asyncio.to_thread(client.delete, f"{folder_of(url)}/{first}")
        await view.until(lambda: view.records and first not in view.records)
        assert set(view.records) == {await registration.registered()}
        await located(discovery, "removed", 1)
        await agree(url, view)


async def test_a_node_removed_by_an_administrator_in_an_outage(url, through, proxy, server):
    """No event reports it, and its owner registers the record again all the same."""
    async with (
        Discovery(through, identity=identity_of("removed")) as discovery,
        closing(open_registry(url)) as (there,),
        View(there) as view,
        bare_client(server.address) as client,
    ):
        registration = await discovery.advertise(port=8080)
        first = registration.name
        await view.until(lambda: first in view.records)
        await proxy.refuse()
        await eventually(lambda: discovery.stale)
        await asyncio.to_thread(client.delete, f"{folder_of(url)}/{first}")
        await view.until(lambda: not view.records)
        await proxy.heal()
        await view.until(lambda: view.records)
        assert set(view.records) == {await registration.registered()}
        await located(discovery, "removed", 1)
