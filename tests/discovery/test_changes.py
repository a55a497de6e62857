"""Joined, Changed, Left; directory/test_directory_model.py shows that any sequence ends at the truth."""

import pytest
from tests.support import record

from peerage.changes import Changed, Changes, Joined, Left
from peerage.directory import Directory
from peerage.testing import begun


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
    """Return the kind and the name of each event that waits."""
    events = []
    while changes._pending:
        event = await anext(changes)
        events.append((type(event), event.instance.name))
    return events


async def test_those_present_join_first(directory, changes):
    """Uncallable ones do, superseded records don't; then come the changes."""
    assert await taken(changes) == [(Joined, "a")]
    directory.put(record("b", web=None))
    directory.put(record("old", 0, instance_id="a"))
    assert await taken(changes) == [(Joined, "b")]
    directory.remove("a")
    directory.remove("b")
    assert await taken(changes) == [(Changed, "old"), (Left, "b")]


async def test_a_changed_record_comes_with_what_it_was(directory, changes):
    """The event has the instance that the caller has seen and the current one, none of those between."""
    (before,) = directory.find()
    await taken(changes)
    directory.put(record("a", version="2"))
    directory.put(record("a", version="3"))
    event = await anext(changes)
    assert isinstance(event, Changed)
    assert event.before is before
    assert event.instance.record()["version"] == "3"
    assert await taken(changes) == []


async def test_an_instance_that_joined_and_left_between_is_no_event(directory, changes):
    """The caller never saw it."""
    await taken(changes)
    directory.put(record("b"))
    directory.put(record("b", version="2"))
    directory.remove("b")
    assert await taken(changes) == []


async def test_joined_and_changed_is_joined(directory, changes):
    """The event has the instance as it is now."""
    directory.put(record("a", version="2"))
    event = await anext(changes)
    assert isinstance(event, Joined)
    assert event.instance.record()["version"] == "2"


async def test_changed_and_left_is_left(directory, changes):
    """The event has the instance that the caller has seen."""
    (before,) = directory.find()
    await taken(changes)
    directory.put(record("a", version="2"))
    directory.remove("a")
    event = await anext(changes)
    assert event == Left(before)
    assert event.instance is before


async def test_a_name_that_another_instance_takes_is_two_events(directory, changes):
    """The one that was known leaves, the other joins."""
    await taken(changes)
    directory.remove("a")
    directory.put(record("a", 2, instance_id="other"))
    assert await taken(changes) == [(Left, "a"), (Joined, "a")]


async def test_a_superseded_record_that_is_current_again_is_no_event(directory, changes):
    """The newer record came and went between two events."""
    await taken(changes)
    directory.put(record("b", 2, instance_id="a"))
    directory.remove("b")
    assert await taken(changes) == []


async def test_another_port_is_a_change_of_the_same_instance(directory, changes):
    """ASAB's web server may be bound after the first advertisement."""
    await taken(changes)
    directory.put(record("a", web=[["0.0.0.0", 81]]))
    assert await taken(changes) == [(Changed, "a")]


async def test_a_caller_that_waits_gets_the_next_change(directory, changes):
    """It waits as long as nothing changes."""
    await taken(changes)
    waiting = await begun(anext(changes))
    assert not waiting.done()
    directory.put(record("b"))
    assert (await waiting).instance.name == "b"


async def test_closing_ends_the_iteration(directory):
    """A caller that waits gets no event; on_close is called once and the subscription ends."""
    closed = []
    changes = Changes(directory, closed.append)
    await taken(changes)

    async def collect():
        return [event async for event in changes]

    waiting = await begun(collect())
    changes.close()
    await changes.aclose()
    assert await waiting == []
    assert closed == [changes]
    directory.put(record("b"))
    assert not changes._pending
    assert [event async for event in changes] == []
