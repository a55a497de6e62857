"""The instances under one id."""

from hypothesis import given
from hypothesis import strategies as st

from peerage.directory.bucket import Bucket, Members, standing_of
from peerage.records.instance import decode


def instances(count):
    found = [decode(f"n{number}", b'{"web": [["10.0.0.1", 80]]}').instance for number in range(count)]
    return [instance for instance in found if instance is not None]


@given(st.lists(st.integers(0, 29)))
def test_members_come_and_go_in_any_order(toggles):
    """Below and above the size from which places are remembered, and down again."""
    members, expected, everybody = Members(), set(), instances(30)
    # Fills it beyond that size first, or short examples would never get there.
    for instance in everybody[:20]:
        members.add(instance)
        expected.add(instance)
    for number in toggles:
        instance = everybody[number]
        if instance in expected:
            members.discard(instance)
            expected.remove(instance)
        else:
            members.add(instance)
            expected.add(instance)
        assert len(members) == len(expected)
        assert set(members) == expected
        assert members._places is None or all(members[place] is one for one, place in members._places.items())


def test_a_bucket_is_empty_again():
    """Whatever was in it, the last one gone it can be thrown away."""
    bucket, everybody = Bucket(), instances(40)
    assert bucket.size == 0
    for instance in everybody:
        bucket.enter(instance, standing_of(instance))
    assert bucket.size == len(bucket.everybody) == len(bucket.targets) == 40
    for instance in everybody:
        assert bucket.size
        bucket.leave(instance, standing_of(instance))
    assert bucket.size == 0
    assert list(bucket.targets) == bucket.everybody == []
    assert bucket.urls == ()
