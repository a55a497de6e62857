"""From a snapshot to changes."""

from hypothesis import given
from hypothesis import strategies as st
from tests.support import record

from peerage.directory import reconcile
from peerage.registry import Gone, Put

NAMES = st.sets(st.sampled_from("abcdef"))


@given(NAMES, NAMES)
def test_the_changes_lead_to_the_snapshot(known, wanted):
    """Every record of the snapshot is put, and every other one that is known is removed."""
    records = [record(name) for name in sorted(wanted)]
    events = list(reconcile(known, records))
    assert events[: len(records)] == [Put(each) for each in records]
    assert {event.name for event in events[len(records) :]} == known - wanted
    assert all(isinstance(event, Gone) for event in events[len(records) :])


def test_known_names_are_read_once():
    """The directory may change between two of the events."""
    known = {"a": 1}
    events = reconcile(known, [record("b")])
    assert next(events) == Put(record("b"))
    known["b"] = 2
    assert list(events) == [Gone("a")]
