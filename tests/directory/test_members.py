"""Lists of instances, and the index of their ids."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from peerage.directory.index import Index, Standing
from peerage.directory.members import Members
from peerage.records.decode import decode

WEIGHTS = (1, 2.5, 8)


def make_instance(number, weight=1.0):
    data = b'{"web": [["10.0.0.1", 80]], "peerage": {"weight": %g}}' % weight
    instance = decode(f"n{number}", data).instance
    assert instance is not None
    return instance


def make_instances(count):
    return [make_instance(number) for number in range(count)]


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


PAIR = ("service_id", "orders")


def make_orders(count):
    return [decode(f"n{number}", b'{"service_id": "orders"}').instance for number in range(count)]


def test_an_id_from_which_all_were_discarded_is_not_kept():
    """Ids without instances take no memory."""
    for standing in Standing:
        index, instances = Index(), make_orders(40)
        for instance in instances:
            index.add(instance, standing)
        assert len(index.matching([PAIR])) == 40
        assert len(index.targets(PAIR)) == (0 if standing is Standing.UNCALLABLE else 40)
        for instance in instances:
            assert index.matching([PAIR])
            index.discard(instance)
        assert not any(index._groups.values())
        assert list(index.targets(PAIR)) == index.matching([PAIR]) == []
        assert index.urls(PAIR) == ()


def test_requests_go_to_ready_instances():
    """Draining instances are the targets only while no instance is ready; uncallable ones never are."""
    index = Index()
    ready, draining, uncallable = make_orders(3)
    index.add(uncallable, Standing.UNCALLABLE)
    assert index.targets(PAIR) == []
    index.add(draining, Standing.DRAINING)
    assert index.targets(PAIR) == [draining]
    index.add(ready, Standing.READY)
    assert index.targets(PAIR) == [ready]
    assert set(index.matching([PAIR])) == {ready, draining, uncallable}
