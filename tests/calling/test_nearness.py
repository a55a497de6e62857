"""Nearness, keys and subsets, as calls use them; simulated where time matters."""

from collections import Counter
from math import nan

import pytest
from tests.calling.fleet import Fleet, answers, fails, queues, until

from peerage import CallOptions, ConfigurationError, call_options
from peerage.balancing import Outcome, Place

HERE = {"port": 80}
SECONDS = 0.02


def far(number, **ids):
    """Something to advertise elsewhere."""
    return {
        "near": False,
        "web": [[f"10.0.{number // 250}.{number % 250 + 1}", 80]],
        "ids": {key: [value] for key, value in ids.items()},
    }


def same_site(number):
    return far(number, site_id="prague")


def make_fleet(places, behaviour=lambda: queues(SECONDS, 1), **options):
    fleet = Fleet(*[behaviour() for _ in places], places=places, **options)
    fleet.world.context.place = Place(site_id="prague")
    return fleet


def never(_now, _rng):
    return Outcome.ANSWERED, 1e6


PLACES = {
    "1 of 2 on this host": [HERE, far(1)],
    "1 of 3 on this host": [HERE, far(1), far(2)],
    "1 of 10 on this host": [HERE, *map(far, range(9))],
    "3 of 10 at this site": [*map(same_site, range(3)), *map(far, range(3, 10))],
    "5 of 10 at this site": [*map(same_site, range(5)), *map(far, range(5, 10))],
    "1 of 10 on this host and 2 more at this site": [HERE, *map(same_site, (1, 2)), *map(far, range(3, 10))],
}


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES.keys())
def test_at_70_percent_load_no_instance_gets_twice_its_share_and_calls_take_hardly_longer(places):
    """All callers are where the near instances are, and the network costs nothing: the worst case."""
    count, seconds = len(places), {}
    for near in (True, False):
        fleet = make_fleet(places, near=near)
        fleet.load(0.7 * count / SECONDS)
        fleet.run(20)
        assert fleet.failed() == 0
        shares = [fleet.share(number, 2, 20) * count for number in range(count)]
        assert max(shares) <= 1.4
        seconds[near] = fleet.mean_seconds(2)
    assert seconds[True] <= 1.25 * seconds[False]


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES.keys())
def test_with_little_load_near_instances_get_most_of_what_they_may(places):
    count = len(places)
    near = sum(each is HERE or bool(each.get("ids")) for each in places)
    fleet = make_fleet(places, lambda: answers(SECONDS))
    fleet.work(1)
    fleet.run(40)
    assert sum(fleet.share(number, 1, 40) for number in range(near)) >= 0.75 * min(1, 2 * near / count)


def test_a_site_that_is_much_nearer_gets_nearly_all():
    def behave(seconds):
        return lambda _, rng: (Outcome.ANSWERED, seconds + rng.expovariate(1 / SECONDS))

    fleet = Fleet(behave(0), behave(0), behave(0.1), behave(0.1), places=PLACES_OF_FOUR)
    fleet.world.context.place = Place(site_id="prague")
    fleet.work(20)
    fleet.run(20)
    assert sum(fleet.share(number, 1, 20) for number in (0, 1)) >= 0.85


PLACES_OF_FOUR = [*map(same_site, range(2)), *map(far, range(2, 4))]


def test_a_near_instance_that_stops_holds_some_callers_only_and_fails_no_get():
    fleet = Fleet(
        until(2, answers(SECONDS), never), answers(SECONDS), answers(SECONDS), places=[HERE, far(1), far(2)]
    )
    fleet.work(50, limit=1.0)
    fleet.run(8)
    assert fleet.failed() == 0
    assert sum(when > 2 for when in fleet.asked[fleet.names[0]]) <= 50


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_near_instance_that_fails_fast_gets_next_to_nothing(method):
    fleet = Fleet(until(2, answers(SECONDS), fails()), answers(SECONDS), places=[HERE, far(1)])
    fleet.work(20, method)
    fleet.run(8)
    assert fleet.failed(3) <= 0.01
    assert fleet.share(0, 3, 8) <= 0.02


def test_a_level_without_healthy_instances_gives_everything_to_the_next():
    fleet = Fleet(*[fails(Outcome.CONNECT_FAILED)] * 2, *[answers(SECONDS)] * 2, places=PLACES_OF_FOUR)
    fleet.world.context.place = Place(site_id="prague")
    fleet.work(4)
    fleet.run(5)
    assert fleet.failed() == 0
    assert fleet.share(2, 2, 5) == pytest.approx(0.5, abs=0.1)


# Single calls


def ask(world, count=40, **options):
    return Counter(world.answer(world.call(options=CallOptions(**options))) for _ in range(count))


def test_levels_follow_the_list_and_the_place(world):
    one = world.advertise(**far(1, site_id="prague"))
    other = world.advertise(**far(2))
    assert ask(world)[one] < 35
    world.context.place = Place(site_id="prague")
    world.clock.now += 1
    assert ask(world)[one] >= 35
    assert ask(world, near=False)[one] < 35
    world.directory.remove(one)
    assert ask(world) == {other: 40}
    near = world.advertise()
    world.clock.now += 1
    assert ask(world)[near] >= 35


def test_a_key_has_its_instance_in_every_client(world):
    names = [world.advertise() for _ in range(5)]
    seen = {key: ask(world, 5, key=key) for key in "abcdefgh"}
    assert all(len(each) == 1 for each in seen.values())
    assert len({name for each in seen.values() for name in each}) > 1
    key, gone = "a", next(iter(seen["a"]))
    world.directory.remove(gone)
    after = {each: ask(world, 5, key=each) for each in seen}
    assert all(after[each] == seen[each] for each in seen if gone not in seen[each])
    assert next(iter(after[key])) in names


def test_a_key_that_fails_is_retried_at_the_next_instance(world):
    for _ in range(4):
        world.advertise()
    options = CallOptions(key="tenant-7")
    first = world.answer(world.call(options=options))
    call = world.call(options=options)
    assert world.fail(call) == first
    second = world.answer(call)
    assert second != first
    # It is avoided now.
    assert {*ask(world, 5, key="tenant-7")} == {second}


def test_all_instances_being_avoided_a_key_goes_to_one_of_them(world):
    names = {world.advertise() for _ in range(2)}
    options = CallOptions(key="tenant-7")
    call = world.call(options=options)
    assert {world.fail(call), world.fail(call)} == names
    assert world.answer(world.call(options=options)) in names


@pytest.mark.parametrize("options", [{"key": "tenant-7"}, {}])
def test_only_instances_of_the_right_scheme_are_in_question(world, options):
    for port in range(4):
        world.advertise(port=80 + port, scheme="https")
    plain = {world.advertise(port=90 + port, scheme="http") for port in range(4)}
    plain.add(world.advertise(**far(1), scheme="http"))
    assert {*ask(world, **options)} <= plain
    if options:
        assert len(ask(world, **options)) == 1


def test_a_client_uses_a_subset_of_a_large_service(world):
    for number in range(120):
        world.advertise(port=1 + number)
    assert len(ask(world, 400, subset=5)) == 5
    assert {*ask(world, 50, subset=5)} == {*ask(world, 50, subset=5)}
    assert len(ask(world, 400)) > 60
    some = next(iter(ask(world, 1, subset=5)))
    world.directory.remove(some)
    assert some not in ask(world, 100, subset=5)


def test_near_instances_of_a_subset_are_preferred(world):
    for number in range(120):
        world.advertise(**(HERE if number % 2 else far(number)))
    hits = ask(world, 400, subset=20)
    near = sum(count for name, count in hits.items() if world.directory.get(name).same_host)
    of_subset = sum(world.directory.get(name).same_host for name in hits) / len(hits)
    assert near / 400 >= 0.8 * min(1, 2 * of_subset)


def test_a_subset_that_refuses_is_left_for_the_others(world):
    for number in range(120):
        world.advertise(port=1 + number)
    call = world.call(options=CallOptions(subset=2))
    assert len({world.fail(call) for _ in range(10)}) == 10
    world.answer(call)


@pytest.mark.parametrize("fields", [{"key": 7}, {"subset": 0}, {"wait": None}, {"wait": -1}, {"wait": nan}])
def test_what_cannot_be_an_option_is_refused_where_it_is_chosen(fields):
    with pytest.raises(ConfigurationError, match=next(iter(fields))), call_options(**fields):
        pass
