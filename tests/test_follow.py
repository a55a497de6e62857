"""The task between a registry and a directory."""

import asyncio
import gc
import math

import pytest
from tests.support import Clock, record

from peerage.backends.feed import Feed
from peerage.directory import Directory
from peerage.errors import RegistryClosedError
from peerage.follow import SLICE, Follower
from peerage.registry import Record, Snapshot

ORDERS = (("service_id", "orders"),)


class Source:
    """A registry of feeds that the test itself fills."""

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
async def follower(source, directory, clock):
    follower = Follower(source, directory, clock=clock, retry=0)
    follower.start()
    await source.watched.wait()
    yield follower
    await follower.aclose()
    assert not source.feeds


@pytest.fixture
async def ready(source, follower):
    """It knows a and b."""
    source.feed.snapshot([record("a"), record("b")])
    await follower.until_ready()
    return follower


async def settle(source):
    """Let the follower take all there is."""
    feed = source.feed
    while feed._changes or feed._snapshot is not None or feed._stale:  # noqa: ASYNC110 - turns count
        await asyncio.sleep(0)
    # Taken is not applied yet where a slice ends in between.
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_ready_after_the_first_snapshot(source, follower, directory):
    """Before, nothing is known and how old that is can't be said."""
    assert not follower.ready
    assert follower.age == math.inf
    source.feed.snapshot([record("a")])
    await follower.until_ready()
    assert follower.ready
    assert follower.age == 0
    assert follower.stale is None
    assert [one.name for one in directory] == ["a"]


async def test_a_snapshot_isnt_kept(source, ready):
    """It holds every record, and the next event may be long in coming."""
    assert ready.ready
    gc.collect()
    assert not [kept for kept in gc.get_objects() if isinstance(kept, Snapshot) and kept.records]
    assert source.feeds


async def test_an_empty_registry_is_a_snapshot_too(source, follower):
    """Nobody there is an answer."""
    source.feed.snapshot([])
    await follower.until_ready()


async def test_changes_are_applied(source, ready, directory):
    """Put and Gone, in their order."""
    source.feed.put(record("c"), new=True)
    source.feed.gone("a")
    await settle(source)
    assert directory.names() == {"b", "c"}
    assert ready.ready


async def test_a_snapshot_replaces_what_was_known(source, ready, directory):
    """What isn't in it is gone, the unreadable included."""
    source.feed.put(Record("bad", b"", 2), new=True)
    await settle(source)
    source.feed.snapshot([record("b"), record("c")])
    await settle(source)
    assert directory.names() == {"b", "c"}
    assert ready.ready


async def test_a_name_that_old_and_new_bear_is_never_empty(source, ready, directory, clock):
    """Everything of a snapshot is added before anything is removed, whatever slices it is applied in."""
    clock.cost = SLICE
    found = []
    directory.subscribe(lambda _: found.append(len(directory.urls(ORDERS))))
    source.feed.snapshot([record("c", web=[["0.0.0.0", 81]]), record("d", web=[["0.0.0.0", 82]])])
    looks = []
    while directory.names() != {"c", "d"}:
        await asyncio.sleep(0)
        looks.append(len(directory.urls(ORDERS)))
    assert min(found) > 0
    assert min(looks) > 0
    assert ready.ready


async def test_a_large_snapshot_is_applied_in_slices(source, follower, clock):
    """The loop gets its turn whenever a slice of time is used up, counted in turns."""
    clock.cost = SLICE / 10
    source.feed.snapshot([record(str(number)) for number in range(1000)])
    turns = 0
    while not follower.ready:
        await asyncio.sleep(0)
        turns += 1
    assert 50 <= turns <= 250


async def test_a_snapshot_in_no_time_takes_no_turns(source, follower):
    """Giving way has a price, paid only where time passes."""
    source.feed.snapshot([record(str(number)) for number in range(1000)])
    turns = 0
    while not follower.ready:
        await asyncio.sleep(0)
        turns += 1
    assert turns <= 5


async def test_out_of_touch_everything_stays(source, ready, directory, clock, caplog):
    """Known stays known and grows older; one line in the log when it starts, one when it ends."""
    source.feed.stale("the cable")
    await ready.until_stale()
    assert ready.stale == "the cable"
    assert directory.names() == {"a", "b"}
    clock.now += 5
    assert ready.age == pytest.approx(5)
    source.feed.stale("the server")
    await settle(source)
    assert ready.stale == "the server"
    clock.now += 5
    assert ready.age == pytest.approx(10)
    assert ready.ready
    source.feed.snapshot([record("b")])
    await settle(source)
    assert ready.stale is None
    assert ready.age == 0
    assert directory.names() == {"b"}
    await ready.aclose()
    lost, found = (entry.getMessage() for entry in caplog.records)
    assert "test:" in lost
    assert "the cable" in lost
    assert "stays in use" in lost
    assert "again after 10.0 s" in found


async def test_before_the_first_snapshot_nothing_is_known(source, follower, caplog):
    """That is said, and its age is infinite."""
    source.feed.stale("not there")
    await follower.until_stale()
    assert not follower.ready
    assert follower.age == math.inf
    assert "Nothing is known yet" in caplog.text


async def test_a_backend_that_fails_is_logged_once_and_tried_again(directory, clock, caplog):
    """What was known stays; a traceback shows whose fault it is."""
    source = Source()
    source.failures = [ValueError("broken"), ValueError("broken"), OSError("broken")]
    follower = Follower(source, directory, clock=clock, retry=0)
    follower.start()
    await follower.until_stale()
    assert "broken" in str(follower.stale)
    await source.watched.wait()
    source.feed.snapshot([record("a")])
    await follower.until_ready()
    assert follower.stale is None
    await follower.aclose()
    assert len([entry for entry in caplog.records if entry.exc_info]) == 1
    assert len(caplog.records) == 3


async def test_a_registry_closed_under_its_feet_is_out_of_touch(source, ready, directory):
    """What is known stays and is said to grow old."""
    source.feed.end()
    await ready.until_stale()
    assert "closed" in str(ready.stale)
    assert directory.names() == {"a", "b"}
    source.feeds.clear()


async def test_a_registry_closed_before_isnt_tried_again(directory, caplog):
    """No traceback either: it is the caller's own doing."""
    source = Source()
    source.failures = [RegistryClosedError("closed")]
    follower = Follower(source, directory)
    follower.start()
    await follower.until_stale()
    assert not [entry for entry in caplog.records if entry.exc_info]
    await follower.aclose()


async def test_closing_tells_whoever_waits(source, follower):
    """Nobody waits for what can't come any more."""
    waiting = [asyncio.create_task(follower.until_ready()), asyncio.create_task(follower.until_stale())]
    await asyncio.sleep(0)
    await follower.aclose()
    for task in waiting:
        with pytest.raises(RegistryClosedError):
            await task
    with pytest.raises(RegistryClosedError):
        await follower.until_ready()
    assert not source.feeds


async def test_closing_amid_a_snapshot_keeps_what_was_applied(source, follower, directory, clock):
    """It stops at the next slice, and twice is no error."""
    clock.cost = SLICE
    source.feed.snapshot([record(str(number)) for number in range(100)])
    while not len(directory):  # noqa: ASYNC110 - turns count
        await asyncio.sleep(0)
    await follower.aclose()
    await follower.aclose()
    assert 0 < len(directory) < 100
    assert not follower.ready
    assert not source.feeds


async def test_one_that_never_started_can_be_closed(directory):
    """As when a Discovery is made and never entered."""
    await Follower(Source(), directory).aclose()
