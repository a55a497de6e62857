"""What a change of the directory is called in the timeline, where a registry numbers its records anew."""

import pytest
from tests.support import Clock, record

from peerage.directory import Change, Directory, Guard
from peerage.serve import timeline as module
from peerage.serve.timeline import Moment, Timeline, moment_of


def made(name, sequence, instance, process=1):
    """A record of a service of its own, at a port of its own."""
    fields = {"instance_id": instance, "service_id": f"s-{instance}", "process_id": process}
    return record(name, sequence, web=[["0.0.0.0", 8000 + ord(instance)]], **fields)


@pytest.fixture
def directory():
    return Directory(guard=Guard(), clock=Clock())


@pytest.fixture
def words(directory):
    """The names of all moments, with the instances."""
    found = []

    def note(event):
        moment = moment_of(event, 0.0) if isinstance(event, Change) else None
        if moment is not None:
            found.append((moment.what, moment.instance))

    directory.subscribe(note)
    return found


def test_an_instance_whose_name_is_taken_is_a_suspect_and_nothing_else(directory, words):
    directory.put(made("n1", 900, "a"))
    directory.put(made("n1", 100, "b"))
    for name in directory.displaced:
        directory.remove(name)
    assert words == [("joined", "a"), ("joined", "b"), ("suspect", "a")]


@pytest.mark.parametrize(("process", "word"), [(1, "back"), (2, "vanished")])
def test_an_instance_that_is_registered_again_after_the_loss_is_back(directory, words, process, word):
    """Its new record has a lower number; of another process that would be an older one."""
    directory.put(made("n2", 900, "a"))
    directory.put(made("n1", 100, "a", process))
    directory.remove("n2")
    assert words == [("joined", "a"), (word, "a")]


def test_long_names_do_not_make_it_grow():
    """A record may be as large as its registry allows, and come and go all the time; the latest stay."""
    timeline = Timeline(Clock())
    for number in range(300):
        timeline.add(Moment(0.0, "joined", f"{number}", "s" * 60_000, None))
    assert sum(map(len, timeline.entries())) <= module._MOST_BYTES
    assert [moment.name for moment in timeline.moments()][-60:] == [f"{number}" for number in range(240, 300)]


def test_entries_are_kept_for_an_hour_and_there_is_a_most(monkeypatch):
    monkeypatch.setattr(module, "_MOST", 3)
    clock = Clock()
    timeline = Timeline(clock)
    for number in range(5):
        timeline.add(Moment(0.0, "joined", f"{number}", None, None))
        clock.now += 1
    assert [moment.name for moment in timeline.moments()] == ["2", "3", "4"]
    clock.now += module.KEPT - 2.5
    assert [moment.name for moment in timeline.moments()] == ["3", "4"]
    clock.now += module.KEPT
    assert timeline.entries() == []
    assert timeline._bytes == 0
