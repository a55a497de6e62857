"""One record, and what administrators, other records and its owner do to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ThrottledOpError
from tests.backends.programs import program
from tests.backends.zookeeper.support import (
    agree,
    bare_client,
    connected,
    connection,
    cut_off,
    folder_of,
    identity_of,
    sent,
    unanswered,
)

from peerage import Discovery
from peerage.backends.zookeeper.connection import CHANGED, Connection
from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.nodes import Nodes
from peerage.backends.zookeeper.notes import NodeEvent, Note, Request
from peerage.backends.zookeeper.pauses import Pauses
from peerage.backends.zookeeper.registry import ZooKeeperRegistry
from peerage.backends.zookeeper.session import Client
from peerage.errors import RegistryClosedError
from peerage.registry import Advertisement, Registry, Stale, open_registry
from peerage.testing import View, begun, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.waiting import PATIENCE
from peerage.testing.zookeeper import Proxy, ZooKeeperServer


@pytest.fixture
def session_timeout() -> int:
    """Seconds until the server considers a silent process dead."""
    return 20


def block_loop_until(to: Connection, until: Callable[[Note], bool]) -> None:
    """Block the event loop until kazoo's thread has reported a note of the kind."""
    deadline = time.monotonic() + PATIENCE
    while not any(until(note) for note in tuple(to._notes)):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def remove_folder(client: KazooClient, folder: str, *, again: bool) -> None:
    """Remove the folder with its nodes, and create it *again*, in one transaction."""
    step = client.transaction()
    for name in client.get_children(folder):
        step.delete(f"{folder}/{name}")
    step.delete(folder)
    if again:
        step.create(folder)
    assert not [each for each in step.commit() if isinstance(each, Exception)]


# Removed or changed by other programs


async def test_a_removed_record_is_registered_again_without_a_watcher(url, server):
    """A process that only advertises notices each removal, after an update as well."""
    async with (
        closing(open_registry(url), open_registry(url)) as (here, there),
        View(there) as view,
        bare_client(server.address) as client,
    ):
        owner = await registered(here, "Alone", b"1")

        async def removed_and_back(data: bytes) -> None:
            await view.until_data([data])
            (before,) = view.records
            await asyncio.to_thread(client.delete, f"{folder_of(url)}/{before}")
            await view.until(lambda: view.records and before not in view.records, "another record")
            await view.until_data([data])
            assert set(view.records) == {await owner.registered()}

        await removed_and_back(b"1")
        await removed_and_back(b"1")
        owner.update(b"2")
        await removed_and_back(b"2")
        await agree(url, view)


async def test_a_record_removed_after_a_reconnect_is_registered_again(url, through, server, proxy):
    """The watch on the node is set again, which the server forgot with the connection."""
    async with (
        closing(open_registry(through), open_registry(url)) as (here, there),
        View(there) as view,
        bare_client(server.address) as client,
    ):
        owner = await registered(here, "Alone", b"1")
        before = owner.name
        await cut_off(proxy, here)
        await proxy.heal()
        assert await owner.registered() == before
        await view.until_data([b"1"])
        await asyncio.to_thread(client.delete, f"{folder_of(url)}/{before}")
        await view.until(lambda: view.records and before not in view.records, "another record")
        assert set(view.records) == {await owner.registered()}


async def test_a_removed_folder_is_created_again(url, server):
    """All its records are registered again, with numbers that begin at 0."""
    async with (
        closing(open_registry(url), open_registry(url)) as (here, there),
        View(there) as view,
        bare_client(server.address) as client,
    ):
        owners = [await registered(here, "App", data) for data in (b"1", b"2")]
        for again in (True, False):
            await view.until_data([b"1", b"2"])
            before = max(each.sequence for each in view.records.values())
            await asyncio.to_thread(remove_folder, client, folder_of(url), again=again)
            # New by their order of creation; the watcher may not have seen the gap.
            await view.until(
                lambda before=before: (
                    sorted(view.data.values()) == [b"1", b"2"]
                    and all(each.sequence > before for each in view.records.values())
                )
            )
        assert set(await agree(url, view)) == {await owner.registered() for owner in owners}
        await owners[0].withdraw()
        await view.until_data([b"2"])


async def test_a_record_changed_by_others_is_written_again(url, server):
    """The node stays; its data is what the owner advertises."""
    async with closing(open_registry(url)) as (here,), bare_client(server.address) as client:
        owner = await registered(here, "Mine", b"mine")
        node = owner.name
        path = f"{folder_of(url)}/{node}"
        for turn in (1, 2):
            await asyncio.to_thread(client.set, path, b"forged")
            data, stat = b"", None
            async with asyncio.timeout(PATIENCE):
                while (data, stat and stat.version) != (b"mine", turn * 2):
                    data, stat = await asyncio.to_thread(client.get, path)
        owner.update(b"changed")
        assert await owner.registered() == node
        assert (await asyncio.to_thread(client.get, path))[0] == b"changed"
        await owner.withdraw()
        assert await asyncio.to_thread(client.exists, path) is None


async def test_a_removal_reported_together_with_the_answer_of_a_check(url, server):
    """The event counts, not the answer from before it."""
    async with (
        closing(open_registry(url)) as (here,),
        View(here) as own,
        bare_client(server.address) as client,
    ):
        owner = await registered(here, "Looked", b"1")
        before = owner.name
        await own.until_data([b"1"])
        # A record is verified after its registration; that answer must not arrive later.
        await eventually(lambda: owner._watched, "the watch on it")
        # Make it verify the node, and let the answer and the event of the removal arrive together.
        owner.node_changed(CHANGED)
        await sent(here)
        block_loop_until(connection(here), lambda note: isinstance(note, Request))
        client.delete(f"{folder_of(url)}/{before}")
        block_loop_until(connection(here), lambda note: isinstance(note, NodeEvent))
        await own.until(lambda: own.records and before not in own.records, "another record")
        assert set(own.records) == {await owner.registered()}


async def test_after_a_reconnect_a_record_is_verified_first(url, through, server, proxy):
    """A record that was removed meanwhile isn't reported as registered under its old name."""
    async with closing(open_registry(through)) as (here,), bare_client(server.address) as client:
        owner = await registered(here, "Away", b"1")
        before = owner.name
        await cut_off(proxy, here)
        await asyncio.to_thread(client.delete, f"{folder_of(url)}/{before}")
        await proxy.heal()
        proxy.delay(0.1)
        await connected(here)
        assert await owner.registered() != before


@pytest.fixture
def throttled_once(monkeypatch):
    """Each request is answered first as by a throttling server, without being sent."""
    submit, throttled = Client.submit, set()

    def submit_the_second_time(client: Client, request: Request) -> bool:
        if request in throttled:
            return submit(client, request)
        throttled.add(request)
        request.set_exception(ThrottledOpError())
        return True

    monkeypatch.setattr(Client, "submit", submit_the_second_time)
    return throttled


async def test_a_throttled_request_is_sent_again(url, throttled_once, monkeypatch):
    """The server has done nothing: no node is looked for, and there is no outage."""
    looks = []

    find_created = Nodes.find_created

    async def take_note(*arguments):
        looks.append(arguments)
        return await find_created(*arguments)

    monkeypatch.setattr(Nodes, "find_created", take_note)
    data = [b"%d" % number for number in range(60)]
    registry = ZooKeeperRegistry(parse(url), None, Pauses(throttled=lambda: 0.0))
    async with closing(registry) as (here,), View(here) as view:
        owners = [here.advertise("App", each) for each in data]
        await asyncio.gather(*(owner.registered() for owner in owners))
        await view.until_data(data)
        await asyncio.gather(*(owner.withdraw() for owner in owners))
        await view.until_data([])
        assert not [event for event in view.events if isinstance(event, Stale)]
    assert len(throttled_once) > len(data)
    assert not looks


# Names that belong to another record by now


@asynccontextmanager
async def name_taken(
    url: str, through: str, server: ZooKeeperServer, proxy: Proxy
) -> AsyncIterator[tuple[View, Registry, Advertisement, Advertisement, KazooClient]]:
    """A record whose folder was created anew in an outage, and another record of the same name."""
    async with (
        closing(open_registry(through), open_registry(url)) as (here, there),
        View(there) as view,
        bare_client(server.address) as client,
    ):
        ours = await registered(here, "App", b"ours")
        await view.until_data([b"ours"])
        name = ours.name
        await cut_off(proxy, here)
        await asyncio.to_thread(client.delete, folder_of(url), recursive=True)
        theirs = await registered(there, "App", b"theirs")
        assert theirs.name == name
        yield view, here, ours, theirs, client


async def test_a_name_that_belongs_to_another_record_by_now(url, through, server, proxy):
    """The other record is neither changed nor removed."""
    async with name_taken(url, through, server, proxy) as (view, _, ours, theirs, client):
        name = theirs.name
        await proxy.heal()
        assert await ours.registered() != name
        await view.until_data([b"ours", b"theirs"])
        await ours.withdraw()
        await view.until_data([b"theirs"])
        data, stat = await asyncio.to_thread(client.get, f"{folder_of(url)}/{name}")
        assert (data, stat.version) == (b"theirs", 0)


async def test_withdrawing_spares_another_record_of_the_same_name(url, through, server, proxy):
    """Also when the record was withdrawn during the outage."""
    async with name_taken(url, through, server, proxy) as (view, here, ours, theirs, _):
        await ours.withdraw()
        await proxy.heal()
        # All steps of the withdrawal come before the second of these.
        await registered(here, "Marker", b"1")
        await registered(here, "Marker", b"2")
        await view.until_data([b"theirs", b"1", b"2"])
        assert view.data[theirs.name] == b"theirs"


# Withdrawn


async def test_withdrawing_while_the_folder_is_created(guarded):
    """No node is created for a record that isn't wanted any more."""
    async with closing(open_registry(guarded)) as (here,):
        await here.inspect()
        owner = here.advertise("Never", b"1")
        await sent(here)
        await owner.withdraw()
        marker = await registered(here, "Marker", b"2")
        # The folder counts the nodes created in it.
        assert marker.name == "Marker.0000000000"


async def test_a_lost_answer_to_a_withdrawal(url, through, proxy):
    """The record is gone and isn't registered again."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        owner = await unanswered(here, view, proxy, "Gone", b"1")
        first = asyncio.ensure_future(owner.withdraw())
        await view.until_data([])
        second = asyncio.ensure_future(owner.withdraw())
        first.cancel()
        await proxy.heal()
        await second
        await eventually(lambda: owner.name is None, "the withdrawal")
        await registered(here, "Marker", b"marker")
        await view.until_data([b"marker"])


async def test_a_withdrawal_over_a_half_open_connection(url, through, proxy):
    """It returns without an answer, and the record is removed over the next connection."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        owner = await registered(here, "Gone", b"1")
        await view.until_data([b"1"])
        up = connection(here).up
        proxy.black_hole()
        # Two seconds, doubled for a loaded machine; the half-open connection is noticed after 13.
        async with asyncio.timeout(4):
            await owner.withdraw()
        assert connection(here).up is up
        await proxy.heal()
        await registered(here, "Marker", b"marker")
        await view.until_data([b"marker"])


async def test_a_withdrawal_after_an_update_whose_answer_was_lost(url, through, proxy):
    """The record is removed whatever its version is."""
    async with closing(open_registry(through), open_registry(url)) as (here, there), View(there) as view:
        owner = await unanswered(here, view, proxy, "Gone", b"1")
        owner.update(b"2")
        await view.until_data([b"2"])
        withdrawal = await begun(owner.withdraw())
        await proxy.heal()
        await withdrawal
        await registered(here, "Marker", b"marker")
        await view.until_data([b"marker"])


async def test_a_withdrawal_of_a_record_that_others_keep_changing(url, server):
    """It is removed although its version changes all the time."""
    async with closing(open_registry(url)) as (here,), bare_client(server.address) as client:
        owner = await registered(here, "Busy", b"1")
        path = f"{folder_of(url)}/{owner.name}"
        for _ in range(20):
            client.set_async(path, b"forged")
        await owner.withdraw()
        assert await asyncio.to_thread(client.exists, path) is None


async def test_a_cancelled_withdrawal_gives_up_its_ids(through, proxy):
    """The process no longer counts the ids of the record as its own."""
    async with Discovery(through, identity=identity_of("gone")) as discovery:
        registration = await discovery.advertise(port=80, ids={"shard": 1})
        assert ("shard", "1") in discovery.own_ids()
        proxy.black_hole()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await registration.withdraw()
        assert ("shard", "1") not in discovery.own_ids()


async def test_a_record_whose_task_is_cancelled_is_withdrawn(url):
    """As when a program ends and cancels all its tasks: registered() doesn't wait for ever."""
    async with closing(open_registry(url)) as (here,):
        owner = await registered(here, "Cancelled", b"1")
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "peerage: advertise Cancelled"]
        task.cancel()
        await asyncio.wait([task])
        assert owner.name is None
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(RegistryClosedError):
                await owner.registered()


async def test_withdrawing_while_asyncio_run_cancels_all_tasks(url):
    """The program ends although the task of the record is cancelled, too."""
    text = """
import asyncio, sys
from peerage.registry import open_registry

async def serve(registry, started):
    owner = registry.advertise("Served", b"{}")
    try:
        await owner.registered()
        started.set()
        await asyncio.sleep(600)
    finally:
        await owner.withdraw()
        await registry.aclose()
        print("withdrawn", flush=True)

async def main():
    global serving
    started = asyncio.Event()
    serving = asyncio.ensure_future(serve(open_registry(sys.argv[1]), started))
    await started.wait()

asyncio.run(main())
"""
    async with program(text, url) as process:
        async with asyncio.timeout(PATIENCE):
            assert await process.line() == "withdrawn"
            await process.wait()
        assert process.returncode == 0
