"""Deadlines: the arithmetic, the header, and what a call begins or doesn't begin."""

import math
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.balancing import Outcome
from peerage.calling import Ending, Pause
from peerage.calling.deadline import Deadline, begin, current_deadline, read_timeout, write_timeout
from peerage.errors import ConfigurationError

seconds = st.floats(0, 1e6)
steps = st.lists(st.tuples(seconds, seconds, seconds), min_size=1, max_size=6)


class TestAmount:
    @given(st.lists(st.floats(-1e6, 1e9), min_size=1, max_size=6), st.floats(0, 1e6))
    def test_a_nested_deadline_never_grows(self, chosen, now):
        deadline, least = None, math.inf
        for each in chosen:
            deadline = Deadline(each, now, deadline)
            least = min(least, now + each)
            assert deadline.left(now) == least - now

    @given(st.floats(0, 1e6), steps)
    def test_it_never_grows_from_service_to_service(self, first, services):
        """Each service has a clock of its own, takes some time, and may set a deadline itself."""
        left = first
        for clock, spent, own in services:
            received = read_timeout([write_timeout(left)])
            assert received <= left
            deadline = Deadline(own, clock, Deadline(received, clock))
            now_left = deadline.left(clock + spent)
            assert now_left <= left - spent + 1e-6
            left = max(0.0, min(left, now_left))

    @given(st.floats(0, 2e7))
    def test_the_header_loses_less_than_a_millisecond(self, left):
        received = read_timeout([write_timeout(left)])
        assert received <= left
        assert left - received <= 0.001 or left > 9_999_999

    @given(st.integers(0, 10**10 - 1))
    def test_whole_milliseconds_are_kept(self, milliseconds):
        assert abs(int(write_timeout(milliseconds / 1000)) - milliseconds) <= 1
        assert read_timeout([str(milliseconds)]) == milliseconds / 1000

    @pytest.mark.parametrize("left", [-1.0, -1e300, -math.inf])
    def test_time_that_is_over_is_written_as_nothing(self, left):
        assert write_timeout(left) == "0"

    @given(st.lists(st.text() | st.integers().map(str) | st.floats().map(str)))
    def test_a_value_that_is_no_number_of_milliseconds_is_ignored(self, values):
        found = read_timeout(values)
        assert found is None or 0 <= found < 1e7

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "-1",
            "+1",
            "1.5",
            "1e3",
            " 1",
            "1\n",
            "nan",
            "inf",
            "1_000",
            "\u0661",
            "²",
            "0x10",
            "99999999999",
            "9" * 5000,
        ],
    )
    def test_such_values_are_ignored(self, value):
        assert read_timeout([value]) is None

    def test_the_least_of_several_values_counts(self):
        assert read_timeout(["500", "x", "250"]) == 0.25

    def test_begin_returns_the_one_around_it_if_no_seconds_are_given(self):
        def inside():
            current_deadline.set(outer)
            return begin(None, 5), begin(math.inf, 5), begin(10, 5), begin(1, 5)

        outer = Deadline(2, 5)
        none, infinite, longer, shorter = copy_context().run(inside)
        assert none is infinite is outer
        assert longer.left(5) == 2
        assert shorter.left(5) == 1
        with pytest.raises(ConfigurationError):
            begin(math.nan, 5)

    def test_a_released_deadline_holds_no_longer_but_one_inside_of_it_does(self):
        received = Deadline(1, 0)
        own = Deadline(5, 0, received)
        received.release()
        assert received.left(100) == math.inf
        assert own.left(0) == 5

    def test_the_message_names_the_smallest_one_and_what_was_waited_for(self):
        outer = Deadline(2, 0)
        inner = Deadline(5, 0, outer)
        assert inner.give_up() == "The deadline of 2 s has passed"
        inner.note("the tea was late")
        assert outer.give_up() == inner.give_up() == "The deadline of 2 s has passed: the tea was late"

    def test_what_a_smaller_one_waited_for_says_nothing_of_the_one_around_it(self):
        outer = Deadline(5, 0)
        Deadline(2, 0, outer).note("the tea was late")
        assert outer.give_up() == "The deadline of 5 s has passed"


class TestCall:
    @pytest.mark.parametrize("left", [-1, 0, 0.0009])
    def test_no_attempt_is_begun_without_time_left(self, world, left):
        world.advertise()
        step = world.end(world.call(deadline=Deadline(left, world.clock())))
        assert step.ending is Ending.TOO_LATE
        assert "GET of service_id='orders' was waiting for an instance" in step.message

    @pytest.mark.parametrize("outcome", [Outcome.CONNECT_FAILED, Outcome.UNAVAILABLE])
    def test_no_further_attempt_is_begun_without_time_left(self, world, outcome):
        for port in (80, 81):
            world.advertise(port=port)
        call = world.call(deadline=Deadline(1, world.clock()))
        attempt = world.attempt(call)
        world.clock.now += 1
        call.done(attempt, outcome, "it was late")
        step = world.end(call)
        assert step.ending is Ending.TOO_LATE
        assert "waiting for another attempt" in step.message
        assert "it was late" in step.message

    def test_no_pause_is_begun_that_ends_too_late(self, world):
        """The caller then gets the error of the attempt."""
        world.advertise()
        call = world.call(deadline=Deadline(0.01, world.clock()))
        world.fail(call, Outcome.CONNECTION_LOST)
        assert world.end(call).ending is Ending.UNREACHABLE

    def test_a_pause_that_ends_in_time_is_made(self, world):
        world.advertise()
        call = world.call(deadline=Deadline(10, world.clock()))
        world.fail(call, Outcome.CONNECTION_LOST)
        assert isinstance(call.next(), Pause)
        call.close()

    def test_no_backup_is_begun_without_time_left(self, world):
        for port in (80, 81):
            world.advertise(port=port)
        call = world.call(deadline=Deadline(1, world.clock()))
        attempt = world.attempt(call)
        world.clock.now += 1
        assert call.back_up(attempt) is None
        call.close()

    def test_what_is_waited_for_names_the_instance(self, world):
        world.advertise(port=81)
        call = world.call(deadline=Deadline(1, world.clock()))
        attempt = world.attempt(call)
        assert ":81" in call.waiting(attempt)
        call.close()
