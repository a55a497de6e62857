"""The limit of the requests under way, alone and in a simulation of a server that has too much to do."""

import heapq
from collections import deque
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage import ConfigurationError
from peerage.web import Gradient2


def windows(limit, duration, number=1, *, used=1.0, now=0.0):
    """Let *number* windows pass in which requests last *duration*, with that share of the limit in use."""
    for _ in range(number):
        now += 1.0
        several = max(10, int(used * limit.limit))
        for _ in range(several):
            assert limit.admit()
            if limit.under_way > used * limit.limit:
                limit.done(0.0, duration)
        while limit.under_way > 1:
            limit.done(0.0, duration)
        limit.done(now, duration)
    return now


def test_it_refuses_what_is_above_the_limit():
    """And takes one more for each that is done, however that ended."""
    limit = Gradient2(initial=2, least=1)
    assert [limit.admit(), limit.admit(), limit.admit()] == [True, True, False]
    limit.done(0.0, None)
    assert [limit.admit(), limit.admit()] == [True, False]
    assert (limit.limit, limit.under_way) == (2, 2)


def test_it_grows_while_requests_last_as_long_as_usual():
    """By a fifth of the queue that is allowed for, per window; up to the largest limit."""
    limit = Gradient2()
    now = windows(limit, 0.1, 5)
    assert limit.limit == 24
    windows(limit, 0.1, 1000, now=now)
    assert limit.limit == 200


def test_it_shrinks_when_requests_last_much_longer_than_usual():
    """By no more than a tenth per window, and never below the least limit."""
    limit = Gradient2(initial=100)
    now = windows(limit, 0.1, 20, used=0.4)
    assert limit.limit == 100
    now = windows(limit, 1.0, now=now)
    assert limit.limit == 90
    windows(limit, 1.0, 30, now=now)
    assert limit.limit == 20


def test_within_the_tolerance_it_does_not_shrink():
    limit = Gradient2(initial=50)
    now = windows(limit, 0.1, 20, used=0.4)
    windows(limit, 0.14, now=now)
    assert limit.limit == 50


def test_little_load_says_nothing_about_the_limit():
    """While less than half of it is used, it stays."""
    limit = Gradient2()
    windows(limit, 0.1, 100, used=0.4)
    assert limit.limit == 20


def test_a_few_requests_are_too_few_to_learn_from():
    """Nine slow ones in a window don't change the limit; the tenth completes the window."""
    limit = Gradient2(initial=100)
    now = windows(limit, 0.1, 20, used=0.6)
    before = limit.limit
    for _ in range(9):
        assert limit.admit()
        limit.done(now + 5, 9.0)
    assert limit.limit == before


def test_what_was_learnt_under_too_much_load_is_forgotten():
    """A server that was started under load takes its durations for usual; afterwards they are shorter."""
    limit = Gradient2(initial=100)
    now = windows(limit, 2.0, 10, used=0.4)
    now = windows(limit, 0.1, 100, used=0.4, now=now)
    windows(limit, 2.0, 10, now=now)
    assert limit.limit < 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"least": 0},
        {"initial": 10},
        {"initial": 300},
        {"tolerance": 0.9},
        {"smoothing": 0},
        {"smoothing": 1.1},
    ],
)
def test_arguments_out_of_their_range_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Gradient2(**wrong)


@given(
    st.lists(
        st.one_of(
            st.none(), st.tuples(st.floats(0, 10), st.one_of(st.none(), st.floats(0, 1e6))), st.just("admit")
        )
    )
)
def test_it_stays_within_its_bounds(events):
    """Whatever durations are measured, and in whatever order requests begin and end."""
    limit = Gradient2(least=2, initial=3, most=5)
    now, under_way = 0.0, 0
    for event in events:
        if event is None or event == "admit":
            under_way += limit.admit()
        elif under_way:
            now += event[0]
            limit.done(now, event[1])
            under_way -= 1
        assert 2 <= limit.limit <= 5
        assert limit.under_way == under_way <= 5


class Server:
    """A queue and *workers*, simulated; requests that callers gave up are worked on all the same."""

    def __init__(self, workers, seconds, limit=None, seed=1):
        self.now = 0.0
        self.good: list[tuple[float, bool]] = []
        self._workers, self._seconds, self._limit = workers, seconds, limit
        self._rng = Random(seed)
        self._loaded_until = 0.0
        self._idle = workers
        self._waiting: deque[float] = deque()
        self._events: list = []
        self._number = count()

    @property
    def capacity(self):
        return self._workers / self._seconds

    def load(self, rate, seconds):
        """Let requests arrive at random moments, *rate* a second on average."""
        at, self._loaded_until = self._loaded_until, self._loaded_until + seconds
        while (at := at + self._rng.expovariate(rate)) < self._loaded_until:
            heapq.heappush(self._events, (at, next(self._number), self._arrive))

    def run(self):
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            action()

    def share(self, begin, end):
        """The share of the requests of that time that were answered within a second."""
        each = [good for arrived, good in self.good if begin <= arrived < end]
        return sum(each) / len(each)

    def _arrive(self):
        if self._limit is not None and not self._limit.admit():
            self.good.append((self.now, False))
            return
        self._waiting.append(self.now)
        self._work()

    def _work(self):
        while self._idle and self._waiting:
            self._idle -= 1
            arrived = self._waiting.popleft()
            ends = self.now + self._rng.expovariate(1 / self._seconds)
            heapq.heappush(
                self._events, (ends, next(self._number), lambda arrived=arrived: self._end(arrived))
            )

    def _end(self, arrived):
        self._idle += 1
        seconds = self.now - arrived
        self.good.append((arrived, seconds <= 1.0))
        if self._limit is not None:
            self._limit.done(self.now, seconds)
        self._work()


def overloaded(limit, workers, seconds, before=60.0):
    """Serve 0.7 of the capacity for a while, 1.5 of it for 20 s, and 0.7 again."""
    server = Server(workers, seconds, limit)
    for share, duration in ((0.7, before), (1.5, 20.0), (0.7, 40.0)):
        server.load(share * server.capacity, duration)
    server.run()
    return server.share(before, before + 20), server.share(before + 30, before + 60)


SERVERS = [(4, 0.01), (20, 0.05), (8, 0.04), (100, 0.15), (40, 0.02)]


@pytest.mark.parametrize(("workers", "seconds"), SERVERS)
@pytest.mark.parametrize("before", [0.0, 60.0])
def test_an_overloaded_server_stays_useful(workers, seconds, before):
    """At most two thirds can be served; ten seconds after the overload, all requests are served again."""
    during, after = overloaded(Gradient2(initial=max(20, 2 * workers)), workers, seconds, before)
    assert during >= 0.6
    assert after >= 0.99


@pytest.mark.parametrize(("workers", "seconds"), SERVERS)
def test_without_a_limit_it_is_of_no_use(workers, seconds):
    """What is answered was given up before; it is this that the limit prevents."""
    during, _ = overloaded(None, workers, seconds)
    assert during < 0.35
