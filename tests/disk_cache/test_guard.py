"""The guard of mass disappearance, together with a load from disk; without a registry and without a disk."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import Clock, record

from peerage.directory import Directory, Guard, reconcile

NAMES = st.sets(st.integers(0, 11))


def made(number):
    """Return a record of one of three services, each on a port of its own."""
    return record(f"r{number}", number, service_id=f"s{number % 3}", web=[["0.0.0.0", 8000 + number]])


def services(directory):
    return {number for number in range(3) if directory.urls((("service_id", f"s{number}"),))}


@settings(max_examples=100)
@given(NAMES, NAMES, NAMES)
def test_what_was_loaded_is_there_suspect_or_gone(saved, suspects, snapshot):
    """In one step at a time; a service that is in the snapshot is callable all the time."""
    clock = Clock()
    directory = Directory(guard=Guard(), clock=clock)
    for number in saved:
        directory.restore(made(number), suspect=number in suspects)
    assert directory.unconfirmed == {f"r{number}" for number in saved}
    callable_before = services(directory)
    assert callable_before == {number % 3 for number in saved}
    for change in reconcile(directory.names(), [made(number) for number in snapshot]):
        if hasattr(change, "record"):
            directory.put(change.record)
        else:
            directory.remove(change.name)
        assert callable_before & {number % 3 for number in snapshot} <= services(directory)
    present = {f"r{number}" for number in snapshot}
    for one in directory:
        assert one.suspect is (one.name not in present)
    assert present <= directory.names()
    assert directory.unconfirmed <= directory.names() - present
    # A name isn't lost because a snapshot doesn't have it.
    ready = {number % 3 for number in saved - suspects} if not saved & suspects else set()
    assert ready <= services(directory)
    clock.now += 300
    directory.expire()
    assert directory.names() == present
    assert not directory.unconfirmed


def test_a_registry_that_comes_back_empty_empties_nothing():
    """Neither once nor twice, with a restart in between."""
    directory = Directory(guard=Guard(), clock=Clock())
    for _ in range(2):
        for number in range(10):
            directory.restore(made(number), suspect=f"r{number}" not in directory.names())
        for change in reconcile(directory.names(), []):
            directory.remove(change.name)
        assert len(directory) == 10
        assert all(one.suspect for one in directory)
