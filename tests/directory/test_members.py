"""Lists of instances, and the bucket of one id."""

import json
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from peerage.directory.index import Bucket
from peerage.directory.members import Members
from peerage.records.decode import decode

WEIGHTS = (1, 2.5, 8)


def make_instance(number, weight=1.0, *, ephemeral=True, **own):
    data = json.dumps({"web": [["10.0.0.1", 80]], "peerage": {"weight": weight, **own}}).encode()
    instance = decode(f"n{number}", data, ephemeral=ephemeral).instance
    assert instance is not None
    return instance


def make_instances(count, **fields):
    return [make_instance(number, **fields) for number in range(count)]


@given(st.lists(st.integers(0, 29)))
def test_members_are_added_and_discarded_in_any_order(toggles):
    """The list holds exactly what was added and not discarded, below and above the size of its search."""
    instances = make_instances(30)
    # Begins above that size, which short examples would never reach.
    members, expected = Members(instances[:20]), set(instances[:20])
    for number in toggles:
        instance = instances[number]
        if instance in expected:
            members.discard(instance)
            expected.remove(instance)
        else:
            members.add(instance)
            expected.add(instance)
        assert len(members) == len(expected)
        assert set(members) == expected


@given(
    st.lists(st.sampled_from(WEIGHTS), max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.sampled_from(WEIGHTS))),
)
def test_shares_are_the_running_sums_of_the_weights(weights, changes):
    """After any change; None while all weights are equal, whichever weight that is."""
    members = Members(make_instance(number, weight) for number, weight in enumerate(weights))
    for number, weight in changes:
        assert members.shares == expected_shares(members)
        if number < len(members):
            members.discard(members[number])
        else:
            members.add(make_instance(number, weight))
    assert members.shares == expected_shares(members)


def expected_shares(members):
    weights = [member.weight for member in members]
    return list(accumulate(weights)) if len(set(weights)) > 1 else None


def test_shares_are_made_once_after_each_change():
    """A request among thousands of weighted instances doesn't add their weights again."""
    members = Members([make_instance(0, 1), make_instance(1, 8)])
    shares = members.shares
    assert shares == [1, 9]
    assert members.shares is shares
    members.add(make_instance(2, 1))
    assert members.shares == [1, 9, 10]


def test_a_bucket_from_which_all_were_discarded_is_empty():
    """The index drops an empty bucket, so that ids without instances take no memory."""
    for fields, targets in (({}, 40), ({"state": "draining"}, 40), ({"ephemeral": False}, 0)):
        bucket, instances = Bucket(), make_instances(40, **fields)
        for instance in instances:
            bucket.add(instance)
        assert len(bucket) == len(bucket.all) == 40
        assert len(bucket.targets) == targets
        for instance in instances:
            assert bucket
            bucket.discard(instance)
        assert not bucket
        assert list(bucket.targets) == bucket.all == []
        assert bucket.urls == ()


def test_a_bucket_prefers_ready_instances():
    """Draining instances are the targets only while no instance is ready; uncallable ones never are."""
    bucket = Bucket()
    ready, draining = make_instance(0), make_instance(1, state="draining")
    uncallable = make_instance(2, ephemeral=False, state="draining")
    bucket.add(uncallable)
    assert bucket.targets == []
    bucket.add(draining)
    assert bucket.targets == [draining]
    bucket.add(ready)
    assert bucket.targets == [ready]
    assert set(bucket.all) == {ready, draining, uncallable}
