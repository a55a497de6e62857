"""One watcher's queue."""

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
    # Another one each time: a reason that was told already is no news.
    mark = f"that was all, {next(_marks)}"
    feed.stale(mark)
    events = []
    while (event := await anext(feed)) != Stale(mark):
        events.append(event)
    return events


async def test_events_come_in_their_order(feed):
    """The snapshot first, then what happened, node by node."""
    feed.snapshot([record("a")])
    assert await anext(feed) == Snapshot((record("a"),))
    feed.put(record("b"), new=True)
    feed.gone("a")
    feed.put(record("c"), new=True)
    assert await taken(feed) == [Put(record("b")), Gone("a"), Put(record("c"))]


async def test_of_one_node_the_newest_is_told(feed):
    """Its place in the order stays."""
    feed.put(record("a", data=b"1"), new=True)
    feed.put(record("b"), new=True)
    feed.put(record("a", data=b"2"), new=False)
    assert await taken(feed) == [Put(record("a", data=b"2")), Put(record("b"))]


async def test_a_node_that_came_and_went_unheard_isnt_told(feed):
    """Also if it changed in between: a flapping service fills no queue."""
    for _ in range(1000):
        feed.put(record("a"), new=True)
        feed.put(record("a", data=b"2"), new=False)
        feed.gone("a")
    assert not feed._changes
    assert await taken(feed) == []


async def test_a_node_that_was_told_of_is_said_to_be_gone(feed):
    """Whatever happened to it meanwhile."""
    feed.put(record("a"), new=True)
    assert await anext(feed) == Put(record("a"))
    feed.put(record("a", data=b"2"), new=False)
    feed.gone("a")
    assert await taken(feed) == [Gone("a")]


async def test_a_node_that_went_and_came_is_told_as_it_is(feed):
    """And gone again, it is told as gone, for the watcher knew it before."""
    feed.gone("a")
    feed.put(record("a", data=b"2"), new=True)
    assert await taken(feed) == [Put(record("a", data=b"2"))]
    feed.gone("a")
    feed.put(record("a", data=b"3"), new=True)
    feed.gone("a")
    assert await taken(feed) == [Gone("a")]


async def test_a_snapshot_overtakes_what_waits(feed):
    """Changes before it and the news of being out of touch are history; changes after it are in it."""
    feed.put(record("a"), new=True)
    feed.stale("lost")
    feed.snapshot([record("b"), record("c")])
    feed.put(record("b", data=b"2"), new=False)
    feed.put(record("d"), new=True)
    feed.gone("c")
    assert await anext(feed) == Snapshot((record("b", data=b"2"), record("d")))
    assert not feed._changes
    assert feed._stale is None


async def test_being_out_of_touch_is_told_after_what_waits(feed):
    """The last reason, once."""
    feed.stale("first")
    feed.put(record("a"), new=True)
    feed.stale("second")
    assert await anext(feed) == Put(record("a"))
    assert await anext(feed) == Stale("second")
    assert await taken(feed) == []


async def test_the_same_reason_again_is_no_news(feed):
    """Before it is taken or after, until something else is told or all is well."""
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
    ("tell", "event"),
    [
        (lambda feed: feed.snapshot([]), Snapshot(())),
        (lambda feed: feed.put(record("a"), new=True), Put(record("a"))),
        (lambda feed: feed.gone("a"), Gone("a")),
        (lambda feed: feed.stale("lost"), Stale("lost")),
    ],
)
async def test_whoever_waits_is_woken(feed, tell, event):
    """By each kind of event."""
    waiting = asyncio.create_task(anext(feed))
    await asyncio.sleep(0)
    assert not waiting.done()
    tell(feed)
    assert await waiting == event


async def test_a_cancelled_wait_loses_nothing(feed):
    """The event that comes next is told next."""
    waiting = asyncio.create_task(anext(feed))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    feed.gone("a")
    assert await anext(feed) == Gone("a")


async def test_the_end_ends_the_iteration(feed):
    """At once, also for whoever waits, and what waits isn't told."""
    waiting = asyncio.create_task(anext(feed, "over"))
    await asyncio.sleep(0)
    feed.end()
    assert await waiting == "over"
    feed.put(record("a"), new=True)
    assert [event async for event in feed] == []


async def test_closing_tells_the_producer_once():
    """Twice is no error; a feed that the producer ended isn't told back."""
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


NODES = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NODES, st.binary(max_size=1)),
        st.tuples(st.just("gone"), NODES),
        st.tuples(st.just("snapshot")),
        st.tuples(st.just("stale")),
        st.tuples(st.just("take")),
    ),
    max_size=40,
)


@given(STEPS)
def test_at_any_pace_the_watcher_ends_at_the_producers_state(steps):  # noqa: C901 - a model, a case for each kind of step
    """What waits is bounded all the way, and nothing is told as gone that wasn't told of."""

    async def run():  # noqa: C901 - likewise
        feed, there, known = Feed(lambda _: None), {}, {}

        async def take():
            match await anext(feed):
                case Snapshot(records):
                    known.clear()
                    known.update({record.name: record for record in records})
                case Put(record):
                    known[record.name] = record
                case Gone(node):
                    del known[node]

        def waits():
            return feed._snapshot is not None or feed._changes or feed._stale

        feed.snapshot([])
        await take()
        for step in steps:
            match step:
                case ("put", node, data):
                    feed.put(record(node, data=data), new=node not in there)
                    there[node] = record(node, data=data)
                case ("gone", node) if node in there:
                    feed.gone(node)
                    del there[node]
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
