"""A directory that is kept up to date with a registry."""

import asyncio
import gc
import itertools
import math

import pytest
from tests.support import Clock, record

from peerage.backends.feed import Feed
from peerage.directory import Directory
from peerage.errors import RegistryClosedError
from peerage.membership import Membership
from peerage.registry import Record, Snapshot
from peerage.testing import begun, eventually
from peerage.waiting import SLICE

ORDERS = (("service_id", "orders"),)


class Source:
    """A registry whose feeds the test fills."""

    url = "test:"

    def __init__(self):
        self.feeds = []
        self.failures = []
        self.watched = asyncio.Event()

    def watch(self):
        if self.failures:
            raise self.failures.pop(0)
        self.feeds.append(Feed(self.feeds.remove))
        self.watched.set()
        return self.feeds[-1]

    @property
    def feed(self):
        return self.feeds[-1]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def directory():
    return Directory()


@pytest.fixture
async def source():
    return Source()


@pytest.fixture
async def membership(source, directory, clock):
    membership = Membership(source, directory, clock=clock, retry=0)
    membership.start()
    await source.watched.wait()
    yield membership
    await membership.aclose()
    assert not source.feeds


@pytest.fixture
async def ready(source, membership):
    """A membership whose directory has the records a and b."""
    source.feed.snapshot([record("a"), record("b")])
    await membership.wait_ready()
    return membership


async def turns(condition):
    """Yield once in each turn of the event loop until *condition* holds."""
    while not condition():
        await asyncio.sleep(0)
        yield


async def test_it_is_ready_after_the_first_snapshot(source, membership, directory):
    """Before, nothing is known and the age is infinite."""
    assert not membership.ready
    assert membership.age == math.inf
    source.feed.snapshot([record("a")])
    await membership.wait_ready()
    assert membership.ready
    assert membership.age == 0
    assert membership.stale is None
    assert [one.name for one in directory] == ["a"]


async def test_a_snapshot_isnt_kept(source, ready):
    """It holds every record, and the next event may come much later."""
    assert ready.ready
    gc.collect()
    # An error of another test may hold what was read there. isinstance() would begin to load lazy objects.
    read = record("a")
    kept = [each for each in gc.get_objects() if type(each) is Snapshot and read in each.records]
    assert not kept
    assert source.feeds


async def test_an_empty_snapshot_is_a_snapshot(source, membership):
    """The membership is ready after it."""
    source.feed.snapshot([])
    await membership.wait_ready()


async def test_changes_are_applied(source, ready, directory):
    """Put and Gone, in their order."""
    source.feed.put(record("c"), new=True)
    source.feed.gone("a")
    await eventually(lambda: directory.names() == {"b", "c"})
    assert ready.ready


async def test_a_snapshot_replaces_what_was_known(source, ready, directory):
    """What isn't in it is removed, unreadable records included."""
    source.feed.put(Record("bad", b"", 2), new=True)
    await eventually(lambda: "bad" in directory.names())
    source.feed.snapshot([record("b"), record("c")])
    await eventually(lambda: directory.names() == {"b", "c"})
    assert ready.ready


async def test_an_id_that_old_and_new_instances_have_is_never_without(source, ready, directory, clock):
    """Everything of a snapshot is added before anything is removed, whatever slices it is applied in."""
    clock.cost = SLICE
    found = []
    directory.subscribe(lambda _: found.append(len(directory.urls(ORDERS))))
    source.feed.snapshot([record("c", web=[["0.0.0.0", 81]]), record("d", web=[["0.0.0.0", 82]])])
    found += [len(directory.urls(ORDERS)) async for _ in turns(lambda: directory.names() == {"c", "d"})]
    assert min(found) > 0
    assert ready.ready


async def test_a_large_snapshot_is_applied_in_slices(source, membership, clock):
    """No turn of the event loop lasts longer than a slice and what one record costs."""
    cost = clock.cost = SLICE / 10
    source.feed.snapshot([record(str(number)) for number in range(1000)])
    times = [clock.now, *[clock.now async for _ in turns(lambda: membership.ready)]]
    longest = max(later - earlier for earlier, later in itertools.pairwise(times))
    # A slice begins and ends with a look at the clock, each of which costs time here.
    assert longest <= SLICE + 3 * cost


async def test_a_snapshot_that_takes_no_time_is_applied_in_one_slice(source, membership, directory):
    """Other tasks see nothing of it, all of it, or the record with which the last slice ended."""
    source.feed.snapshot([record(str(number)) for number in range(1000)])
    seen = set()
    async for _ in turns(lambda: membership.ready):
        seen.add(len(directory))
    assert seen <= {0, 1, 1000}


async def test_out_of_touch_what_is_known_stays(source, ready, directory, clock, caplog):
    """Its age grows; one line is logged when the outage begins, one when it is over."""
    source.feed.stale("the cable")
    await ready.wait_stale()
    assert ready.stale == "the cable"
    assert directory.names() == {"a", "b"}
    clock.now += 5
    assert ready.age == pytest.approx(5)
    source.feed.stale("the server")
    await eventually(lambda: ready.stale == "the server")
    clock.now += 5
    assert ready.age == pytest.approx(10)
    assert ready.ready
    source.feed.snapshot([record("b")])
    await eventually(lambda: ready.stale is None)
    assert ready.age == 0
    assert directory.names() == {"b"}
    await ready.aclose()
    lost, found = (entry.getMessage() for entry in caplog.records)
    assert "test:" in lost
    assert "the cable" in lost
    assert "stays in use" in lost
    assert "again after 10.0 s" in found


async def test_before_the_first_snapshot_nothing_is_known(source, membership, caplog):
    """The log says so, and the age is infinite."""
    source.feed.stale("not there")
    await membership.wait_stale()
    assert not membership.ready
    assert membership.age == math.inf
    assert "Nothing is known yet" in caplog.text


async def test_a_backend_that_fails_is_logged_once_and_tried_again(directory, clock, caplog):
    """The traceback shows where the bug is."""
    source = Source()
    source.failures = [ValueError("broken"), ValueError("broken"), OSError("broken")]
    membership = Membership(source, directory, clock=clock, retry=0)
    membership.start()
    await membership.wait_stale()
    assert "broken" in str(membership.stale)
    await source.watched.wait()
    source.feed.snapshot([record("a")])
    await membership.wait_ready()
    assert membership.stale is None
    await membership.aclose()
    assert len([entry for entry in caplog.records if entry.exc_info]) == 1
    assert len(caplog.records) == 3


async def test_a_registry_that_its_owner_closes_is_out_of_touch(source, ready, directory):
    """What is known stays, and is stale from then on."""
    source.feed.end()
    await ready.wait_stale()
    assert "closed" in str(ready.stale)
    assert directory.names() == {"a", "b"}
    source.feeds.clear()


async def test_a_registry_that_is_closed_already_isnt_watched_again(directory, caplog):
    """This is no bug, so there is no traceback."""
    source = Source()
    source.failures = [RegistryClosedError("closed")]
    membership = Membership(source, directory)
    membership.start()
    await membership.wait_stale()
    assert not [entry for entry in caplog.records if entry.exc_info]
    await membership.aclose()


async def test_closing_ends_the_calls_that_wait(source, membership):
    """They raise RegistryClosedError, as later calls do."""
    waiting = [await begun(membership.wait_ready()), await begun(membership.wait_stale())]
    await membership.aclose()
    for task in waiting:
        with pytest.raises(RegistryClosedError):
            await task
    with pytest.raises(RegistryClosedError):
        await membership.wait_ready()
    assert not source.feeds


async def test_closing_amid_a_snapshot_keeps_what_was_applied(source, membership, directory, clock):
    """It stops after the slice; closing twice is no error."""
    clock.cost = SLICE
    source.feed.snapshot([record(str(number)) for number in range(100)])
    async for _ in turns(lambda: len(directory)):
        pass
    await membership.aclose()
    await membership.aclose()
    assert 0 < len(directory) < 100
    assert not membership.ready
    assert not source.feeds


async def test_a_membership_that_was_never_started_can_be_closed(directory):
    """A Discovery that is made and never entered has one."""
    await Membership(Source(), directory).aclose()
