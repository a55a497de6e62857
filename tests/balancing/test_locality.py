"""Levels of nearness."""

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.balancing.test_balancer import end, make_balancer

from peerage.balancing import NOWHERE, Outcome, Place
from peerage.balancing.choices import Choices
from peerage.balancing.locality import MOST, Group, Levels, levels_of, traffic
from peerage.records.decode import decode
from peerage.records.instance import Instance

HOME = Place("n1", "prague")
HERE = {"host_key": "here"}
NODE = {"node_id": "N1"}
SITE = {"site_id": "Prague"}


def make(name: str, weight: float = 1, *, here: bool = False, **ids: str) -> Instance:
    own = {"weight": weight, **(HERE if here else {})}
    record = {"host": "there", "web": [["0.0.0.0", 80]], "peerage": own, **ids}
    instance = decode(name, json.dumps(record).encode(), host_key="here").instance
    assert instance is not None
    return instance


def levels(*counts: int) -> tuple[list[Instance], Levels]:
    """So many instances on this host, on this node, at this site, and elsewhere."""
    kinds = ({"here": True}, NODE, SITE, {})
    instances = [
        make(f"{level}.{number}", **kinds[level])
        for level, count in enumerate(counts)
        for number in range(count)
    ]
    found = levels_of(instances, HOME)
    assert found is not None
    return instances, found


def chosen(found: Levels, avoided=(), now=0.0) -> dict[str | None, float]:
    """The share of 4,000 requests that goes to each level, all instances being equally busy."""
    rng = Random(1)
    groups = [found.choose(lambda _: None, avoided, now, rng.random) for _ in range(4000)]
    seen = Counter(None if each is None else each[0].name[0] for each in groups)
    return {level: seen[level] / 4000 for level in (*sorted(filter(None, seen)), None)}


weights = st.tuples(st.floats(0.0, 100.0), st.floats(0.01, 100.0)).map(lambda pair: (min(pair), max(pair)))


@given(found=st.lists(weights, min_size=1, max_size=4))
def test_all_traffic_is_given_away_and_no_level_gets_more_than_twice_its_share(found):
    shares, healthy = traffic(found), sum(well for well, _ in found)
    if not healthy:
        assert not shares
        return
    assert sum(shares) == pytest.approx(1)
    for share, (well, _) in zip(shares, found, strict=True):
        assert 0 <= share <= MOST * well / healthy + 1e-9


@pytest.mark.parametrize(
    ("found", "shares"),
    [
        ([(5, 5), (5, 5)], [1, 0]),
        # 80 % of it is healthy, which is enough.
        ([(4, 5), (4, 5)], [1, 0]),
        ([(3, 5), (5, 5)], [0.75, 0.25]),
        ([(10, 20), (20, 20)], [2 / 3, 1 / 3]),
        ([(9, 18), (9, 18)], [0.7, 0.3]),
        ([(0, 5), (5, 5)], [0, 1]),
        # Nothing is healthy enough, and what is left is shared.
        ([(1, 5), (1, 5)], [0.72, 0.28]),
        ([(0, 5)], []),
        # One near instance of ten, and half of the others at this site.
        ([(1, 1), (4, 4), (5, 5)], [0.2, 0.8, 0]),
        ([(1, 1), (9, 9)], [0.2, 0.8]),
    ],
)
def test_a_level_gives_up_traffic_when_less_than_72_percent_of_it_is_healthy(found, shares):
    assert traffic(found) == pytest.approx(shares)


def test_the_host_is_nearer_than_the_node_and_the_node_than_the_site():
    instances = [make("a", **SITE), make("b", here=True, **SITE), make("c"), make("d", **NODE, **SITE)]
    assert levels_of([instances[2]] * 2, HOME) is None
    assert levels_of([], HOME) is None
    assert levels_of([instances[0], instances[2]], NOWHERE) is None
    assert levels_of([instances[0], instances[3]], Place(site_id="prague")) is None
    assert chosen(levels_of(instances, HOME)) == {
        "b": pytest.approx(0.475, abs=0.03),
        "d": pytest.approx(0.475, abs=0.03),
        None: pytest.approx(0.05, abs=0.02),
    }


def test_avoided_instances_count_as_unhealthy_until_they_are_not_avoided_any_more():
    _, found = levels(0, 0, 6, 2)
    assert chosen(found)["2"] == pytest.approx(0.95, abs=0.02)
    assert chosen(found, {"2.0": 1})["2"] == pytest.approx(0.95, abs=0.02)
    half = {"2.0": 1, "2.1": 1, "2.2": 1, "of another service": 1}
    # What was found out is used for a quarter of a second.
    assert chosen(found, half, 0.2)["2"] == pytest.approx(0.95, abs=0.02)
    assert chosen(found, half, 0.3)["2"] == pytest.approx(0.95 * 0.7, abs=0.03)
    assert chosen(found)["2"] == pytest.approx(0.95, abs=0.02)
    everything = {f"{level}.{number}": 1 for level in "23" for number in range(6)}
    assert chosen(found, everything, 1.0) == {None: 1}


def test_weights_are_shares_within_a_level_and_of_the_levels():
    heavy = make("heavy", 3, **SITE)
    instances = [heavy, make("light", 1, **SITE), *(make(f"far.{number}", 2) for number in range(8))]
    found, balancer = levels_of(instances, HOME), make_balancer()
    service, hits = balancer.service(("service_id", "orders")), Counter()
    for _ in range(6000):
        pick = balancer.pick_near(found, service, size=len(instances))
        if pick is not None:
            end(pick)
            hits[pick.instance.name] += 1
    total = hits.total()
    assert hits["heavy"] / total == pytest.approx(2 * 3 / 20, abs=0.02)
    assert hits["light"] / total == pytest.approx(2 * 1 / 20, abs=0.02)


def test_a_near_instance_with_more_than_twice_the_load_of_a_distant_one_is_not_preferred():
    (near, far), found = levels(1, 0, 0, 1)
    balancer, rng = make_balancer(), Random(1)
    service = balancer.service(("service_id", "orders"))

    def is_preferred() -> bool:
        seen = [found.choose(balancer.stats, balancer.avoided, 0.0, rng.random) for _ in range(100)]
        return any(seen)

    assert is_preferred()
    balancer.pick([near], service)
    assert not is_preferred()
    balancer.pick([far], service)
    assert is_preferred()
    balancer.pick([near], service)
    assert is_preferred()
    balancer.pick([near], service)
    assert not is_preferred()


def test_a_near_instance_that_takes_more_than_twice_the_time_is_not_preferred():
    (near, far), found = levels(1, 0, 0, 1)
    balancer, rng = make_balancer(), Random(1)

    def is_preferred() -> bool:
        return any(found.choose(balancer.stats, balancer.avoided, 0.0, rng.random) for _ in range(100))

    end(balancer.pick([near]), seconds=0.3)
    assert is_preferred()
    end(balancer.pick([far]), seconds=0.1)
    assert not is_preferred()
    for _ in range(10):
        end(balancer.pick([far]), seconds=0.2)
    assert is_preferred()


def test_a_near_instance_that_fails_is_not_preferred():
    (near, _), found = levels(1, 0, 0, 1)
    balancer, rng = make_balancer(), Random(1)
    end(balancer.pick([near]), Outcome.UNAVAILABLE)
    assert not any(found.choose(balancer.stats, balancer.avoided, 1000.0, rng.random) for _ in range(100))


def test_many_changes_one_after_the_other_do_not_each_group_the_instances_again():
    instances, _ = levels(1, 0, 0, 99)
    first = Choices(instances, 1, HOME, 7)
    first.group(5.0)
    assert first.levels is not None
    changed = Choices(instances, 2, HOME, 7, first.group_at)
    changed.group(5.001)
    assert (changed.levels, changed.is_grouped) == (None, False)
    changed.group(5.02)
    assert changed.levels is not None


def test_the_size_of_a_service_is_not_that_of_a_level():
    _, found = levels(1, 0, 0, 3)
    balancer = make_balancer()
    service = balancer.service(("service_id", "orders"))
    for _ in range(20):
        balancer.pick_near(found, service, size=4)
    assert service.size == 4


@given(chance=st.floats(0, 1), weights=st.lists(st.sampled_from([1.0, 0.5, 3.0]), min_size=1, max_size=5))
def test_any_number_draws_an_instance(chance, weights):
    instances = [make(f"App.{number}", weight) for number, weight in enumerate(weights)]
    assert Group(instances).draw(chance) in instances
