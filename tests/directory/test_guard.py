"""Instances that are kept although their records vanished."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support import Clock, record

from peerage.directory import Change, Directory, Guard
from peerage.directory.index import Standing
from peerage.directory.listing import listing

ORDERS = ("service_id", "orders")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def directory(clock):
    return Directory(guard=Guard(session_timeout=10), clock=clock)


def put(directory, number, **fields):
    """Put the record of an instance with a port of its own."""
    directory.put(record(f"n{number}", number, **{"web": [["0.0.0.0", 8000 + number]], **fields}))


def targets(directory, service="orders"):
    return sorted(one.name for one in directory.targets("service_id", service))


def states(directory):
    return {row.name: row.state for row in listing(directory)}


def test_one_death_among_several_is_immediate(directory):
    """Nothing is kept of it."""
    for number in range(10):
        put(directory, number)
    directory.remove("n3")
    assert "n3" not in directory.names()
    assert len(directory.find()) == 9


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_all_of_a_name_stay(directory, count):
    """Also of a service of two, and of one, whatever else there is."""
    for number in range(count):
        put(directory, number)
    for number in range(100, 150):
        put(directory, number, service_id="others")
    for number in range(count):
        directory.remove(f"n{number}")
    names = [f"n{number}" for number in range(count)]
    assert targets(directory) == names
    assert {states(directory)[name] for name in names} == {"suspect"}
    assert directory.count().standings[Standing.SUSPECT] == count


def test_a_mass_stays(directory):
    """More than 15 %, and at least three; those that vanished before are back, and used last."""
    for number in range(20):
        put(directory, number)
    for number in range(3):
        directory.remove(f"n{number}")
    assert len(directory.find()) == 17
    directory.remove("n3")
    assert len(directory.find()) == 20
    assert targets(directory) == sorted(f"n{number}" for number in range(4, 20))
    assert len(directory.urls((ORDERS,))) == 16


def test_two_are_no_mass(directory):
    """Whatever share of all they are."""
    for number in range(3):
        put(directory, number)
    for number in range(2):
        directory.remove(f"n{number}")
    assert targets(directory) == ["n2"]
    assert len(directory.find()) == 1


def test_a_draining_instance_is_called_before_a_suspect(directory):
    put(directory, 1)
    put(directory, 2, peerage={"state": "draining"})
    directory.remove("n1")
    assert states(directory) == {"n1": "suspect", "n2": "draining"}
    assert targets(directory) == ["n2"]
    directory.remove("n2")
    assert targets(directory) == ["n1"]


def test_deaths_far_apart_are_no_mass(directory, clock):
    """Only those within one session time-out count together."""
    for number in range(20):
        put(directory, number)
    for number in range(15):
        directory.remove(f"n{number}")
        clock.now += 10.1
    assert len(directory.find()) == 5


@pytest.mark.parametrize("fields", [{"peerage": {"state": "draining"}}, {"web": None}])
def test_draining_and_uncallable_ones_go_at_once(directory, fields):
    """Draining is how a withdrawal begins."""
    put(directory, 1, **fields)
    directory.remove("n1")
    assert not directory.names()


def test_a_withdrawn_one_goes_at_once(directory):
    """Also as a suspect."""
    put(directory, 1)
    directory.remove("n1", withdrawn=True)
    assert not directory.names()
    put(directory, 2)
    directory.remove("n2")
    directory.remove("n2")
    assert targets(directory) == ["n2"]
    directory.remove("n2", withdrawn=True)
    assert not directory.names()


def test_a_suspect_that_refuses_is_dropped(directory):
    """Others aren't, and neither is one that is no suspect."""
    put(directory, 1)
    put(directory, 2)
    directory.refused("n1")
    directory.remove("n1")
    directory.remove("n2")
    directory.refused("n1")
    directory.refused("unknown")
    assert targets(directory) == ["n2"]


@pytest.mark.parametrize(
    "successor",
    [
        {"instance_id": "n1", "web": [["0.0.0.0", 1]]},
        {"instance_id": "other", "web": [["0.0.0.0", 8001]], "service_id": "else"},
        {"instance_id": "n1", "web": [["0.0.0.0", 8001]]},
    ],
)
@pytest.mark.parametrize("sequence", [0, 9])
def test_a_suspect_that_is_back_under_another_record_is_dropped(directory, successor, sequence):
    """By its instance id, or its host and port; a wiped registry numbers records from the beginning."""
    put(directory, 1)
    directory.remove("n1")
    directory.put(record("new", sequence, **successor))
    assert directory.names() == {"new"}
    assert [one.name for one in directory.find()] == ["new"]
    assert not directory.guard.suspects


def test_one_that_came_back_before_it_vanished_is_not_kept(directory):
    """A snapshot is applied with what is new first."""
    put(directory, 1)
    directory.put(record("new", 0, instance_id="other", service_id="else", web=[["0.0.0.0", 8001]]))
    directory.remove("n1")
    assert directory.names() == {"new"}


def test_one_that_came_back_is_not_kept_although_others_are(directory):
    """Restarted at another port, it has two records; its old one vanishes with those of others."""
    for number in range(10):
        put(directory, number)
    put(directory, 99, instance_id="n3")
    for number in (1, 2, 3):
        directory.remove(f"n{number}")
    assert directory.names() == {"n0", "n1", "n2", "n4", "n5", "n6", "n7", "n8", "n9", "n99"}
    assert [name for name, state in states(directory).items() if state == "suspect"] == ["n1", "n2"]


def test_a_record_that_is_there_again_is_no_suspect(directory):
    """Under its own name, with the same data."""
    put(directory, 1)
    before = states(directory)
    directory.remove("n1")
    put(directory, 1)
    assert states(directory) == before
    assert not directory.guard.suspects
    directory.refused("n1")
    assert targets(directory) == ["n1"]


def test_suspects_are_dropped_after_five_minutes(directory, clock):
    """Each from the time it vanished."""
    put(directory, 1)
    put(directory, 2, service_id="stock")
    directory.remove("n1")
    clock.now += 100
    directory.remove("n2")
    assert directory.expire() == 200
    clock.now += 200
    assert directory.expire() == 100
    assert directory.names() == {"n2"}
    clock.now += 100
    assert directory.expire() is None
    assert not directory.names()


def test_a_record_that_says_it_is_suspect_is_none_of_the_guard(directory):
    """It is used last, and goes as others do."""
    put(directory, 1, peerage={"state": "suspect"})
    put(directory, 2)
    assert targets(directory) == ["n2"]
    directory.remove("n1", withdrawn=True)
    assert directory.names() == {"n2"}


def test_a_suspect_has_not_left(directory):
    """It changes, and leaves when it is dropped."""
    events = []
    put(directory, 1)
    directory.subscribe(events.append)
    directory.remove("n1")
    (change,) = events
    assert (change.before.state, change.after.state) == (None, "suspect")
    directory.refused("n1")
    assert events[1:] == [Change(change.after, None)]


@pytest.mark.parametrize("end", ["back", "refused", "expired"])
def test_the_log_says_when_there_are_suspects_and_when_there_are_none_left(directory, clock, caplog, end):
    caplog.set_level("INFO", "peerage.directory")
    for number in (1, 2):
        put(directory, number, service_id=f"service-{number}")
    for number in (1, 2):
        directory.remove(f"n{number}")
    assert ["n1" in message and "suspect" in message for message in caplog.messages] == [True]
    for number in (1, 2):
        assert len(caplog.messages) == 1
        if end == "back":
            put(directory, number, service_id=f"service-{number}")
        elif end == "refused":
            directory.refused(f"n{number}")
    if end == "expired":
        clock.now += 301
        directory.expire()
    assert caplog.messages[1:] == [
        "No suspects are left: their records are there again, or they were dropped."
    ]


def test_without_a_guard_everything_goes_at_once():
    """It can be switched off."""
    directory = Directory()
    put(directory, 1)
    directory.remove("n1")
    assert not directory.names()
    assert directory.expire() is None


class GuardMachine(RuleBasedStateMachine):
    """Any order of arrivals, ends and time."""

    @initialize()
    def start(self):
        self.clock = Clock()
        self.directory = Directory(guard=Guard(), clock=self.clock)
        self.present: dict[str, tuple[int, str]] = {}
        self.vanished: dict[str, float] = {}
        self.number = 0

    @rule(process=st.integers(0, 7))
    def appear(self, process):
        """A process advertises itself, perhaps again, beside the record that it had."""
        self.number += 1
        name = f"r{self.number}"
        self.present[name] = (process, name)
        self.directory.put(
            record(name, self.number, instance_id=f"i{process}", web=[["0.0.0.0", 8000 + process]])
        )

    @rule(data=st.data(), withdrawn=st.booleans())
    def vanish(self, data, withdrawn):
        if self.present:
            name = data.draw(st.sampled_from(sorted(self.present)))
            del self.present[name]
            self.vanished[name] = self.clock.now
            self.directory.remove(name, withdrawn=withdrawn)

    @rule(data=st.data())
    def refuse(self, data):
        known = sorted(self.directory.names())
        if known:
            self.directory.refused(data.draw(st.sampled_from(known)))

    @rule(seconds=st.sampled_from([1, 9, 11, 100, 300]))
    def wait(self, seconds):
        self.clock.now += seconds
        self.directory.expire()

    @invariant()
    def what_is_there_is_known_and_ready(self):
        """None that is still there is lost or suspect."""
        for name in self.present:
            assert self.directory.get(name).state is None

    @invariant()
    def what_is_kept_is_not_there_under_another_record(self):
        """And it isn't kept for longer than five minutes after it vanished or was kept with others."""
        back = {process for process, _ in self.present.values()}
        for name in self.directory.names() - self.present.keys():
            instance = self.directory.get(name)
            assert instance.suspect
            assert int(instance.instance_id[1:]) not in back
            assert self.clock.now < self.vanished[name] + 300 + 10

    @invariant()
    def the_guard_knows_what_the_directory_keeps(self):
        guard = self.directory.guard
        assert set(guard.suspects) == self.directory.names() - self.present.keys()
        kept = {name for names in guard._marks.values() for name in names}
        assert kept == set(guard.suspects) | guard._removed.keys()

    def teardown(self):
        if hasattr(self, "clock"):
            self.clock.now += 311
            assert self.directory.expire() is None
            assert self.directory.names() == self.present.keys()


GuardMachine.TestCase.settings = settings(max_examples=75, stateful_step_count=40)
TestGuardModel = GuardMachine.TestCase
