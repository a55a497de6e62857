import heapq
import json
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import Clock

from peerage.balancing import Balancer, Outcome, Pick, Probe
from peerage.directory.members import Members
from peerage.records.decode import decode
from peerage.records.instance import Instance

AVOIDED = (Outcome.CONNECT_FAILED, Outcome.UNRESOLVED, Outcome.MISDIRECTED)


def make(name: str, weight: float = 1) -> Instance:
    record = {"host": "here", "web": [["0.0.0.0", 80]], "peerage": {"weight": weight}}
    instance = decode(name, json.dumps(record).encode()).instance
    assert instance is not None
    return instance


def make_many(count: int) -> list[Instance]:
    return [make(f"App.{number}") for number in range(count)]


def make_balancer(seed: int = 0, clock: Clock | None = None, **kwargs) -> Balancer:
    return Balancer(Random(seed), clock or Clock(), **kwargs)


def end(pick: Pick, outcome: Outcome = Outcome.ANSWERED, seconds: float = 0.001) -> None:
    """End a request so many seconds after it began."""
    now = pick.started + seconds
    if outcome is Outcome.ANSWERED:
        pick.answered(now)
    pick.done(outcome, now)


def test_names_that_do_not_exist_leave_what_is_known_of_others_alone():
    """Otherwise each few thousand of them would give a service that is down new retries."""
    balancer, instances = make_balancer(), make_many(2)
    service = balancer.service(("service_id", "orders"))
    balancer.pick(instances, service).done(Outcome.CANCELLED, 0)
    for number in range(20_000):
        balancer.pick([], balancer.service(("service_id", f"unknown-{number}")))
    assert balancer.service(("service_id", "orders")) is service


@pytest.mark.parametrize("count", [4, 16])
def test_as_long_as_an_instance_is_idle_no_other_one_gets_a_second_request(count):
    """Two drawn at random would often both be busy: of 16 that take one request each, a quarter were idle."""
    balancer, instances = make_balancer(0, Clock()), make_many(count)
    service = balancer.service(("service_id", "orders"))
    under_way = [balancer.pick(instances, service) for _ in range(count)]
    for _ in range(100):
        assert len({pick.instance.name for pick in under_way}) == count
        end(under_way.pop(0))
        under_way.append(balancer.pick(instances, service))
    for pick in under_way:
        end(pick)


def test_of_idle_instances_not_always_the_same_one_is_chosen_when_two_are_busy():
    chosen = set()
    for seed in range(20):
        balancer, instances = make_balancer(seed, Clock()), make_many(8)
        service = balancer.service(("service_id", "orders"))
        for instance in instances[:4]:
            balancer.pick([instance], service)
        chosen.add(balancer.pick(instances, service).instance.name)
    assert chosen == {f"App.{number}" for number in range(4, 8)}


def test_the_number_of_services_that_are_remembered_is_bounded():
    balancer, instances = make_balancer(), make_many(2)
    for number in range(20_000):
        name = ("service_id", f"orders-{number}")
        balancer.pick(instances, balancer.service(name)).done(Outcome.CANCELLED, 0)
        assert balancer.was_called(name)
    remembered = sum(balancer.was_called(("service_id", f"orders-{number}")) for number in range(20_000))
    assert remembered <= 4096


def spread_sequentially(balancer: Balancer, instances: list[Instance], requests: int) -> Counter[str]:
    """Give requests one after the other, each over before the next begins."""
    hits: Counter[str] = Counter()
    for _ in range(requests):
        pick = balancer.pick(instances)
        assert pick is not None
        end(pick)
        hits[pick.instance.name] += 1
    return hits


def spread_concurrently(
    balancer: Balancer, instances: list[Instance], requests: int, concurrency: int, seed: int
) -> Counter[str]:
    """Give requests that take random times, *concurrency* at a time, on a simulated clock."""
    rng, now, hits = Random(seed), 0.0, Counter()
    under_way: list[tuple[float, int, Pick]] = []
    for number in range(requests):
        while len(under_way) >= concurrency:
            now, _, pick = heapq.heappop(under_way)
            end(pick)
        pick = balancer.pick(instances)
        assert pick is not None
        hits[pick.instance.name] += 1
        heapq.heappush(under_way, (now + rng.expovariate(1), number, pick))
    for _, _, pick in under_way:
        end(pick)
    return hits


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_equal_instances_get_equal_shares(count, seed):
    hits = spread_sequentially(make_balancer(seed), make_many(count), 10_000)
    assert len(hits) == count
    assert max(hits.values()) / min(hits.values()) <= 1.1


def test_a_tie_is_not_a_strict_rotation():
    balancer, instances = make_balancer(1), make_many(2)
    picked = []
    for _ in range(200):
        pick = balancer.pick(instances)
        end(pick)
        picked.append(pick.instance.name)
    assert any(one == other for one, other in pairwise(picked))


def test_a_newcomer_gets_its_share_and_no_flood():
    balancer, instances = make_balancer(2), make_many(4)
    spread_sequentially(balancer, instances, 10_000)
    newcomer = make("App.new")
    instances.append(newcomer)
    soon = spread_sequentially(balancer, instances, 20)
    assert 1 <= soon[newcomer.name] <= 8
    assert spread_sequentially(balancer, instances, 1_000)[newcomer.name] == pytest.approx(200, rel=0.2)


def test_the_busier_of_two_gets_nothing():
    balancer, (busy, idle) = make_balancer(3), make_many(2)
    balancer.pick([busy])
    for _ in range(50):
        pick = balancer.pick([busy, idle])
        assert pick.instance is idle
        end(pick)


MIXTURES = {
    "one heavy of three": [1, 1, 8],
    "nine light and a heavy": [1] * 9 + [9],
    "two to one": [2, 1],
    "one, two, three": [1, 2, 3],
    "thirty and one heavy": [1] * 30 + [30],
    "very light": [0.1, 0.1, 1, 1],
    "twenty of four kinds": [Random(5).choice([1, 2, 5, 0.5]) for _ in range(20)],
}


@pytest.mark.parametrize("concurrency", [1, 2, 20])
@pytest.mark.parametrize("mixture", MIXTURES)
def test_weights_are_shares_within_three_percent(mixture, concurrency):
    weights = MIXTURES[mixture]
    instances = Members(make(f"App.{number}", weight) for number, weight in enumerate(weights))
    # So many that each instance has 2,000 expected requests, or chance alone would be felt.
    requests = int(2_000 * sum(weights) / min(weights))
    hits = spread_concurrently(make_balancer(6), instances, requests, concurrency, seed=7)
    for instance in instances:
        assert hits[instance.name] == pytest.approx(requests * instance.weight / sum(weights), rel=0.03), (
            instance
        )


def test_weights_are_shares_in_a_list_without_running_sums():
    instances = [make("App.light", 1), make("App.heavy", 3)]
    hits = spread_sequentially(make_balancer(5), instances, 4_000)
    assert hits["App.heavy"] / hits["App.light"] == pytest.approx(3, rel=0.03)


def test_load_counts_in_proportion_to_weight():
    balancer = make_balancer(4)
    light, heavy = make("App.light", 1), make("App.heavy", 3)
    balancer.pick([light])
    balancer.pick([light])
    balancer.pick([heavy])
    assert balancer.pick([light, heavy]).instance is heavy


def test_unfinished_requests_settle_by_weight():
    balancer, instances = make_balancer(6), [make("App.light", 1), make("App.heavy", 3)]
    for _ in range(400):
        balancer.pick(instances)
    assert balancer.outstanding["App.heavy"] == pytest.approx(300, abs=2)


def test_there_may_be_nothing_to_pick():
    balancer, (sole,) = make_balancer(7), make_many(1)
    assert balancer.pick([]) is None
    assert balancer.pick([sole]).instance is sole
    assert balancer.pick([sole], tried={sole.name}) is None


def test_a_changed_record_keeps_its_count():
    balancer = make_balancer(8)
    pick = balancer.pick([make("App.1")])
    later = balancer.pick([make("App.1", weight=2)])
    assert balancer.outstanding == {"App.1": 2}
    for each in (pick, later):
        end(each)
    assert balancer.outstanding == {}


def test_only_the_first_end_counts():
    balancer, instances = make_balancer(9), make_many(1)
    pick, other = balancer.pick(instances), balancer.pick(instances)
    for _ in range(3):
        end(pick)
    assert balancer.outstanding == {"App.0": 1}
    end(other, Outcome.CANCELLED)
    assert balancer.outstanding == {}


def test_the_table_has_latency_and_failures():
    balancer, instances = make_balancer(10), make_many(1)
    for outcome in (Outcome.TIMED_OUT, Outcome.CONNECTION_LOST, Outcome.CANCELLED):
        end(balancer.pick(instances), outcome, 9.0)
    stats = balancer.stats("App.0")
    assert (stats.trouble.consecutive, stats.latency) == (2, None)
    end(balancer.pick(instances), seconds=1.0)
    end(balancer.pick(instances), seconds=2.0)
    assert (stats.trouble.consecutive, stats.latency) == (0, 2.0)
    assert balancer.stats("App.1") is None


def test_a_removed_instance_is_forgotten_after_its_last_request():
    balancer, instances = make_balancer(11), make_many(2)
    picks = [balancer.pick([instance]) for instance in instances]
    end(picks[0])
    balancer.forget("App.0")
    balancer.forget("App.1")
    balancer.forget("App.unknown")
    assert balancer.outstanding == {"App.1": 1}
    assert len(balancer) == 1
    picks[1].done(Outcome.CONNECT_FAILED, 0.001)
    assert len(balancer) == 0
    assert not balancer.avoided


def test_another_score_decides():
    balancer = make_balancer(
        10, score=lambda one, _stats, other, _others, _now: 1 if one.name < other.name else -1
    )
    assert {balancer.pick(make_many(2)).instance.name for _ in range(20)} == {"App.0"}


# Avoiding


@pytest.mark.parametrize("outcome", AVOIDED)
def test_an_instance_that_accepted_no_connection_is_probed_after_a_second_and_gets_no_request(outcome):
    clock = Clock()
    balancer, instances = make_balancer(12, clock), make_many(2)
    end(balancer.pick([instances[0]]), outcome)
    assert [*balancer.avoided] == ["App.0"]
    probed = 0
    for _ in range(1_000):
        clock.now += 0.01
        pick = balancer.pick(instances)
        assert pick.instance is instances[1]
        end(pick)
        for instance, how in balancer.take_due().items():
            assert (instance, how) == (instances[0], Probe.CONNECT)
            probed += 1
            balancer.probed(instance.name, passed=False)
    assert 8 <= probed <= 10


def test_it_is_readmitted_when_it_passes_its_probe():
    clock = Clock()
    balancer, instances = make_balancer(13, clock), make_many(1)
    end(balancer.pick(instances), Outcome.CONNECT_FAILED)
    clock.now += 1.5
    assert balancer.pick(instances) is None
    assert balancer.take_due() == {instances[0]: Probe.CONNECT}
    assert not balancer.due
    balancer.probed("App.0", passed=True)
    assert not balancer.avoided
    assert balancer.pick(instances) is not None


def test_a_probe_that_fails_after_the_record_was_removed_leaves_nothing_behind():
    """The name may come back, and what is avoided without figures would never be probed again."""
    clock = Clock()
    balancer, instances = make_balancer(13, clock), make_many(2)
    waiting, other = balancer.pick(instances[:1]), balancer.pick(instances[1:])
    clock.now += 2
    end(other, seconds=2)
    balancer.check_stalled(waiting)
    assert balancer.take_due() == {instances[0]: Probe.STALLED}
    balancer.forget("App.0")
    balancer.probed("App.0", passed=False)
    end(waiting, Outcome.CONNECTION_LOST, seconds=2)
    assert not balancer.avoided
    assert balancer.pick(instances[:1]) is not None


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.CONNECTION_LOST])
def test_a_last_resort_that_could_be_connected_to_is_readmitted(outcome):
    balancer, instances = make_balancer(13), make_many(1)
    end(balancer.pick(instances), Outcome.CONNECT_FAILED)
    end(balancer.pick(instances, last_resort=True), outcome)
    assert not balancer.avoided


def test_a_response_that_takes_long_readmits_at_its_headers():
    balancer, instances = make_balancer(14), make_many(1)
    end(balancer.pick(instances), Outcome.CONNECT_FAILED)
    trial = balancer.pick(instances, last_resort=True)
    trial.answered(trial.started + 0.001)
    assert balancer.pick(instances) is not None


def test_a_shortage_of_the_callers_says_nothing_about_the_instance():
    balancer, instances = make_balancer(15), make_many(1)
    end(balancer.pick(instances), Outcome.OUT_OF_RESOURCES)
    assert not balancer.avoided
    assert balancer.stats("App.0").trouble is None


def test_the_last_resort_is_the_instance_avoided_longest():
    clock = Clock()
    balancer, instances = make_balancer(16, clock), make_many(5)
    for instance in (instances[3], instances[1], instances[0], instances[4], instances[2]):
        end(balancer.pick([instance]), Outcome.CONNECT_FAILED)
        clock.now += 0.01
    assert balancer.pick(instances) is None
    assert balancer.pick(instances, last_resort=True).instance is instances[3]
    assert balancer.pick(instances, tried={"App.3"}, last_resort=True).instance is instances[1]


@given(seed=st.integers(0, 1000), count=st.integers(1, 60), avoided=st.sets(st.integers(0, 59)))
def test_an_avoided_instance_is_never_picked_and_another_is_if_there_is_one(seed, count, avoided):
    balancer, instances = make_balancer(seed), make_many(count)
    for number in avoided:
        if number < count:
            end(balancer.pick([instances[number]]), Outcome.CONNECT_FAILED)
    pick = balancer.pick(instances)
    if all(number in avoided for number in range(count)):
        assert pick is None
    else:
        assert int(pick.instance.name.removeprefix("App.")) not in avoided


@given(seed=st.integers(0, 1000), count=st.integers(1, 60), tried=st.sets(st.integers(0, 59)))
def test_what_was_tried_is_never_picked_and_another_is_if_there_is_one(seed, count, tried):
    pick = make_balancer(seed).pick(make_many(count), tried={f"App.{number}" for number in tried})
    if all(number in tried for number in range(count)):
        assert pick is None
    else:
        assert int(pick.instance.name.removeprefix("App.")) not in tried


@pytest.mark.parametrize("outcome", [Outcome.CONNECT_FAILED, Outcome.UNAVAILABLE])
def test_a_thousand_avoided_instances_are_looked_through_after_changes_only(outcome):
    class Looked(Members):
        times = 0

        def __iter__(self):
            Looked.times += 1
            return super().__iter__()

    clock, rng = Clock(), Random(0)
    balancer, instances = make_balancer(0, clock), Looked(make_many(1010))
    service = balancer.service(("service_id", "orders"))
    good = {f"App.{number}" for number in range(1000, 1010)}
    while len(balancer.avoided) < 1000:
        instance = instances[len(balancer.avoided)]
        # As if the service had more instances: at most half may be ejected.
        end(balancer.pick([instance], service, size=4000), outcome)
    Looked.times, hits = 0, Counter()
    for _ in range(1000):
        pick = balancer.pick(instances, service, safe=False)
        end(pick, rng.choice([Outcome.ANSWERED, Outcome.CANCELLED]))
        hits[pick.instance.name] += 1
    assert Looked.times == 1
    assert hits.keys() == good
    assert min(hits.values()) > 50
    # The avoided ones aren't forgotten.
    clock.now += 2
    for _ in range(1000):
        end(balancer.pick(instances, service, safe=False))
    assert len(balancer.due) > 900
