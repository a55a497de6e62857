"""A registry that has lost its data numbers records anew, so other instances get the names of known ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import Clock, record

from peerage.directory import Directory, Guard, reconcile
from peerage.membership import Membership
from peerage.registry import Put, Snapshot, open_registry


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def directory(clock):
    return Directory(guard=Guard(), clock=clock)


def made(name, sequence, instance):
    """A record of one of three services, at a port of its own; the name says nothing about the instance."""
    return record(
        name,
        sequence,
        instance_id=f"i{instance}",
        service_id=f"s{instance % 3}",
        web=[["0.0.0.0", 8000 + instance]],
    )


def states(directory):
    return {one.instance_id: one.state for one in directory.find()}


def test_an_instance_is_known_under_another_name_if_its_name_is_taken(directory):
    """Until what took it was applied; then it is suspect like all whose records vanish."""
    directory.put(made("n1", 900, 0))
    directory.put(made("n1", 100, 1))
    assert states(directory) == {"i0": None, "i1": None}
    assert directory.get("n1").instance_id == "i1"
    (name,) = directory.displaced
    directory.remove(name)
    assert states(directory) == {"i0": "suspect", "i1": None}


def test_it_may_have_the_same_number_by_chance(directory):
    directory.put(made("n1", 900, 0))
    directory.remove("n1")
    directory.put(made("n1", 900, 1))
    assert states(directory) == {"i0": "suspect", "i1": None}


@pytest.mark.parametrize("more", [{"web": [["0.0.0.0", 1]]}, {"instance_id": "other"}, {"data": b"{"}])
def test_an_update_displaces_nothing(directory, more):
    """It keeps the number, and the instance id or the place; or it can't be read."""
    directory.put(made("n1", 900, 0))
    directory.put(record("n1", 900, **{"instance_id": "i0", "web": [["0.0.0.0", 8000]], **more}))
    assert not directory.displaced
    assert directory.names() == {"n1"}


def test_an_update_of_a_record_without_an_id_may_move_it(directory):
    for port in (80, 81):
        directory.put(record("n1", 900, instance_id=None, web=[["0.0.0.0", port]]))
    assert directory.names() == {"n1"}


def test_a_suspect_stays_one_for_as_long_as_before(directory, clock):
    directory.put(made("n1", 900, 0))
    directory.remove("n1")
    clock.now += 100
    directory.put(made("n1", 100, 1))
    assert states(directory) == {"i0": "suspect", "i1": None}
    for name in directory.displaced:
        directory.remove(name)
    assert directory.expire() == 200
    clock.now += 200
    assert directory.expire() is None
    assert states(directory) == {"i1": None}


def test_a_suspect_that_was_displaced_is_dropped_as_any_other(directory):
    """When it refuses a connection, or has a record again."""
    for number in (0, 1):
        directory.put(made(f"n{number}", 900 + number, number))
    for number in (0, 1):
        directory.remove(f"n{number}")
    for number in (2, 3):
        directory.put(made(f"n{number - 2}", 100 + number, number))
    assert states(directory) == {"i0": "suspect", "i1": "suspect", "i2": None, "i3": None}
    directory.refused("n0#900")
    directory.put(made("n5", 105, 1))
    assert states(directory) == {"i1": None, "i2": None, "i3": None}


@pytest.mark.parametrize("instance", [0, 8000])
def test_the_same_instance_or_another_one_at_its_place_replaces_it(directory, instance):
    """It isn't kept beside that."""
    directory.put(made("n1", 900, 0))
    directory.put(record("n1", 100, instance_id=f"i{instance}", web=[["0.0.0.0", 8000]]))
    assert states(directory) == {f"i{instance}": None}
    assert not directory.displaced


def test_it_stays_unconfirmed_if_it_was(directory):
    """Its address may belong to another program: it gets no token."""
    directory.restore(made("n1", 900, 0))
    directory.put(made("n1", 100, 1))
    assert directory.unconfirmed == {"n1#900"}
    directory.remove("n1#900")
    assert states(directory) == {"i0": "suspect", "i1": None}


def test_without_a_guard_it_is_replaced():
    directory = Directory()
    directory.put(made("n1", 900, 0))
    directory.put(made("n1", 100, 1))
    assert states(directory) == {"i1": None}


@settings(max_examples=200)
@given(st.integers(0, 6), st.permutations(range(6)), st.integers(0, 6))
def test_any_order_of_registration_after_the_loss_keeps_all_services(known, order, back):
    """Those that are back are ready all the time, and the last ones of the others are suspect."""
    directory = Directory(guard=Guard(), clock=Clock())
    for instance in range(known):
        directory.put(made(f"n{instance}", 900 + instance, instance))
    before = {one.service_id for one in directory.find()}
    records = [made(f"n{number}", 100 + number, instance) for number, instance in enumerate(order[:back])]
    lasting = {f"i{instance}" for instance in order[:back] if instance < known}

    def check():
        assert lasting <= {name for name, state in states(directory).items() if state is None}
        assert before <= {one.service_id for one in directory.find()}

    for change in reconcile(directory.names(), records):
        if isinstance(change, Put):
            directory.put(change.record)
        else:
            directory.remove(change.name)
        check()
    for name in directory.displaced:
        directory.remove(name)
        check()
    ready = {f"i{instance}" for instance in order[:back]}
    assert {name for name, state in states(directory).items() if state is None} == ready
    assert {one.name for one in directory if not one.suspect} == {each.name for each in records}


async def test_what_is_displaced_is_removed_after_the_snapshot(directory):
    registry = open_registry("memory:displaced")
    membership = Membership(registry, directory)
    await membership._apply(Snapshot((made("n1", 900, 0), made("n2", 901, 1))))
    await membership._apply(Snapshot((made("n1", 100, 1), made("n2", 101, 2))))
    assert states(directory) == {"i0": "suspect", "i1": None, "i2": None}
    assert not directory.displaced
    await membership.aclose()
    await registry.aclose()
