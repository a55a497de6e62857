"""Joined, Changed, Left; directory/test_directory_model.py shows that any sequence ends at the truth."""

import asyncio

import pytest
from tests.support import record

from peerage.changes import Changed, Changes, Joined, Left
from peerage.directory import Directory


@pytest.fixture
def directory():
    directory = Directory()
    directory.put(record("a"))
    return directory


@pytest.fixture
def changes(directory):
    changes = Changes(directory, lambda _: None)
    yield changes
    changes.close()


async def taken(changes):
    """Return what waits, in short."""
    events = []
    while changes._pending:
        event = await anext(changes)
        events.append((type(event), event.instance.name))
    return events


async def test_whoever_is_there_joins_first(directory, changes):
    """One Joined each, uncallable ones too, hidden twins not; then what happens."""
    assert await taken(changes) == [(Joined, "a")]
    directory.put(record("b", web=None))
    directory.put(record("old", 0, instance_id="a"))
    assert await taken(changes) == [(Joined, "b")]
    directory.remove("a")
    directory.remove("b")
    assert await taken(changes) == [(Changed, "old"), (Left, "b")]


async def test_a_changed_record_comes_with_what_it_was(directory, changes):
    """The instance known before and the one that is true now, however many were between."""
    (before,) = directory.find()
    await taken(changes)
    directory.put(record("a", version="2"))
    directory.put(record("a", version="3"))
    event = await anext(changes)
    assert isinstance(event, Changed)
    assert event.before is before
    assert event.instance.record()["version"] == "3"
    assert await taken(changes) == []


async def test_came_and_went_isnt_told(directory, changes):
    """Nobody who wasn't looking missed anything."""
    await taken(changes)
    directory.put(record("b"))
    directory.put(record("b", version="2"))
    directory.remove("b")
    assert await taken(changes) == []


async def test_joined_and_changed_is_joined(directory, changes):
    """As it is now."""
    directory.put(record("a", version="2"))
    event = await anext(changes)
    assert isinstance(event, Joined)
    assert event.instance.record()["version"] == "2"


async def test_changed_and_gone_is_left(directory, changes):
    """With the instance that was told of."""
    (before,) = directory.find()
    await taken(changes)
    directory.put(record("a", version="2"))
    directory.remove("a")
    event = await anext(changes)
    assert event == Left(before)
    assert event.instance is before


async def test_a_node_left_and_taken_again_is_both(directory, changes):
    """The one that was known leaves, another joins."""
    await taken(changes)
    directory.remove("a")
    directory.put(record("a", 2, instance_id="other"))
    assert await taken(changes) == [(Left, "a"), (Joined, "a")]


async def test_a_hidden_twin_that_shows_again_is_no_news(directory, changes):
    """The successor came and went while nobody looked."""
    await taken(changes)
    directory.put(record("b", 2, instance_id="a"))
    directory.remove("b")
    assert await taken(changes) == []


async def test_another_port_is_a_change_of_the_same_instance(directory, changes):
    """As when ASAB's web server is bound after the first advertisement."""
    await taken(changes)
    directory.put(record("a", web=[["0.0.0.0", 81]]))
    assert await taken(changes) == [(Changed, "a")]


async def test_whoever_waits_is_woken(directory, changes):
    """By the next change."""
    await taken(changes)
    waiting = asyncio.create_task(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done()
    directory.put(record("b"))
    assert (await waiting).instance.name == "b"


async def test_closing_ends_it(directory):
    """At once, also for whoever waits; its owner is told once and the directory forgets it."""
    closed = []
    changes = Changes(directory, closed.append)
    await taken(changes)
    waiting = asyncio.create_task(anext(changes, "over"))
    await asyncio.sleep(0)
    changes.close()
    await changes.aclose()
    assert await waiting == "over"
    assert closed == [changes]
    directory.put(record("b"))
    assert not changes._pending
    assert [event async for event in changes] == []
