"""The queue of one watcher."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import record

from peerage.backends.feed import Feed
from peerage.registry import Gone, Put, Snapshot, Stale

_marks = itertools.count()


@pytest.fixture
def feed():
    return Feed(lambda _: None)


async def taken(feed):
    """Return everything that waits."""
    # A new reason each time, because the same one again is no event.
    mark = f"these were all, {next(_marks)}"
    feed.stale(mark)
    events = []
    while (event := await anext(feed)) != Stale(mark):
        events.append(event)
    return events


async def test_events_come_in_their_order(feed):
    """The snapshot comes first, then the changes of each record."""
    feed.snapshot([record("a")])
    assert await anext(feed) == Snapshot((record("a"),))
    feed.put(record("b"), new=True)
    feed.gone("a")
    feed.put(record("c"), new=True)
    assert await taken(feed) == [Put(record("b")), Gone("a"), Put(record("c"))]


async def test_of_several_changes_of_a_record_the_newest_is_delivered(feed):
    """It keeps the place of the first one."""
    feed.put(record("a", data=b"1"), new=True)
    feed.put(record("b"), new=True)
    feed.put(record("a", data=b"2"), new=False)
    assert await taken(feed) == [Put(record("a", data=b"2")), Put(record("b"))]


async def test_a_record_that_came_and_went_unseen_is_not_delivered(feed):
    """Even if it changed in between: a flapping service fills no queue."""
    for _ in range(1000):
        feed.put(record("a"), new=True)
        feed.put(record("a", data=b"2"), new=False)
        feed.gone("a")
    assert not feed._changes
    assert await taken(feed) == []


async def test_the_end_of_a_known_record_is_delivered(feed):
    """Changes in between are left out."""
    feed.put(record("a"), new=True)
    assert await anext(feed) == Put(record("a"))
    feed.put(record("a", data=b"2"), new=False)
    feed.gone("a")
    # Its owner was alive a moment ago, so it wasn't the end of a session.
    assert await taken(feed) == [Gone("a", withdrawn=True)]


async def test_an_end_is_a_withdrawal_only_if_the_registry_says_so(feed):
    """Without a change in between."""
    feed.gone("a")
    feed.gone("b", withdrawn=True)
    assert await taken(feed) == [Gone("a"), Gone("b", withdrawn=True)]


async def test_a_known_record_that_went_and_came_is_delivered_as_it_is(feed):
    """If it is gone again, that is delivered, because the watcher knew it before."""
    feed.gone("a")
    feed.put(record("a", data=b"2"), new=True)
    assert await taken(feed) == [Put(record("a", data=b"2"))]
    feed.gone("a")
    feed.put(record("a", data=b"3"), new=True)
    feed.gone("a")
    assert await taken(feed) == [Gone("a", withdrawn=True)]


async def test_a_snapshot_overtakes_what_waits(feed):
    """Earlier events that wait are dropped; later changes become part of it."""
    feed.put(record("a"), new=True)
    feed.stale("lost")
    feed.snapshot([record("b"), record("c")])
    feed.put(record("b", data=b"2"), new=False)
    feed.put(record("d"), new=True)
    feed.gone("c")
    assert await anext(feed) == Snapshot((record("b", data=b"2"), record("d")))
    assert not feed._changes
    assert feed._stale is None


async def test_being_out_of_touch_is_delivered_after_the_changes_that_wait(feed):
    """The last reason is delivered, once."""
    feed.stale("first")
    feed.put(record("a"), new=True)
    feed.stale("second")
    assert await anext(feed) == Put(record("a"))
    assert await anext(feed) == Stale("second")
    assert await taken(feed) == []


async def test_the_same_reason_again_is_no_event(feed):
    """Whether it was taken or waits, until there is another reason or a snapshot."""
    for _ in range(2):
        feed.stale("lost")
        feed.stale("lost")
        assert await anext(feed) == Stale("lost")
        feed.stale("lost")
        assert feed._stale is None
        feed.snapshot([])
        assert await anext(feed) == Snapshot(())
    feed.stale("first")
    feed.stale("second")
    assert await anext(feed) == Stale("second")
    feed.stale("first")
    assert await anext(feed) == Stale("first")


@pytest.mark.parametrize(
    ("produce", "event"),
    [
        (lambda feed: feed.snapshot([]), Snapshot(())),
        (lambda feed: feed.put(record("a"), new=True), Put(record("a"))),
        (lambda feed: feed.gone("a"), Gone("a")),
        (lambda feed: feed.stale("lost"), Stale("lost")),
    ],
)
async def test_each_kind_of_event_wakes_a_waiting_watcher(feed, produce, event):
    waiting = asyncio.create_task(anext(feed))
    await asyncio.wait([waiting], timeout=0)
    assert not waiting.done()
    produce(feed)
    assert await waiting == event


async def test_a_cancelled_wait_loses_nothing(feed):
    """The next event is delivered to the next wait."""
    waiting = asyncio.create_task(anext(feed))
    await asyncio.wait([waiting], timeout=0)
    waiting.cancel()
    await asyncio.wait([waiting])
    feed.gone("a")
    assert await anext(feed) == Gone("a")


async def test_the_end_ends_the_iteration(feed):
    """At once, for waiting watchers too; events that wait are dropped."""
    waiting = asyncio.create_task(anext(feed, "over"))
    await asyncio.wait([waiting], timeout=0)
    feed.end()
    assert await waiting == "over"
    feed.put(record("a"), new=True)
    assert [event async for event in feed] == []


async def test_closing_is_reported_to_the_producer_once():
    """Closing twice is no error; a feed that the producer ended isn't reported."""
    closed = []
    feed = Feed(closed.append)
    await feed.aclose()
    await feed.aclose()
    assert closed == [feed]
    assert await anext(feed, "over") == "over"
    ended = Feed(closed.append)
    ended.end()
    await ended.aclose()
    assert closed == [feed]


async def test_a_producer_may_run_on_another_thread():
    """The watcher is woken for each event that it waits for, and ends with the producer's state."""
    feed = Feed(lambda _: None, asyncio.get_running_loop())

    def produce():
        feed.snapshot([])
        for number in range(1000):
            feed.put(record("a", data=b"%d" % number), new=not number)
        feed.put(record("last"), new=True)

    producer = asyncio.create_task(asyncio.to_thread(produce))
    known = {}
    while "last" not in known:
        match await anext(feed):
            case Snapshot(records):
                known = {record.name: record for record in records}
            case Put(changed):
                known[changed.name] = changed
    assert known["a"].data == b"999"
    await producer
    waiting = asyncio.ensure_future(anext(feed, "over"))
    await asyncio.to_thread(feed.end)
    assert await waiting == "over"


def test_a_producer_survives_the_loop_of_its_watcher():
    """A program may close its event loop without closing the watch."""
    loop = asyncio.new_event_loop()
    feed = Feed(lambda _: None, loop)
    loop.close()
    feed.snapshot([record("a")])
    feed.end()


NAMES = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, st.binary(max_size=1)),
        st.tuples(st.just("gone"), NAMES),
        st.tuples(st.just("snapshot")),
        st.tuples(st.just("stale")),
        st.tuples(st.just("take")),
    ),
    max_size=40,
)


@given(STEPS)
def test_at_any_pace_the_watcher_ends_at_the_producers_state(steps):  # noqa: C901 - a model, a case for each kind of step
    """The queue is bounded at every step, and no unknown record is delivered as gone."""

    async def run():  # noqa: C901 - likewise
        feed, there, known = Feed(lambda _: None), {}, {}

        async def take():
            match await anext(feed):
                case Snapshot(records):
                    known.clear()
                    known.update({record.name: record for record in records})
                case Put(record):
                    known[record.name] = record
                case Gone(name):
                    del known[name]

        def waits():
            return feed._snapshot is not None or feed._changes or feed._stale

        feed.snapshot([])
        await take()
        for step in steps:
            match step:
                case ("put", name, data):
                    feed.put(record(name, data=data), new=name not in there)
                    there[name] = record(name, data=data)
                case ("gone", name) if name in there:
                    feed.gone(name)
                    del there[name]
                case ("snapshot",):
                    feed.snapshot(there.values())
                case ("stale",):
                    feed.stale("lost")
                case ("take",) if waits():
                    await take()
            assert len(feed._changes) <= len(known.keys() | there.keys())
        while waits():
            await take()
        assert known == there

    asyncio.run(run())
