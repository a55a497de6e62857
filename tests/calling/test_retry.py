import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from peerage.balancing import Outcome
from peerage.calling import Repeatable
from peerage.calling.retry import IDEMPOTENT, MOST_RETRIES, Ending, ending_of, needs_budget, why_not_again

UNPROCESSED = (Outcome.CONNECT_FAILED, Outcome.UNRESOLVED, Outcome.MISDIRECTED)

outcomes = st.sampled_from(Outcome)
repeatables = st.sampled_from(Repeatable)


def test_a_key_makes_any_request_repeatable_and_a_method_only_what_it_promises():
    assert {Repeatable.of(method, has_key=True) for method in ("POST", "PATCH", "PUT", "GET")} == {
        Repeatable.SAFE
    }
    assert {Repeatable.of(method) for method in ("GET", "HEAD", "OPTIONS")} == {Repeatable.SAFE}
    assert {Repeatable.of(method) for method in ("PUT", "DELETE")} == {Repeatable.IDEMPOTENT}
    assert {Repeatable.of(method) for method in ("POST", "PATCH")} == {Repeatable.ONCE}


@given(outcome=outcomes, repeatable=repeatables, retries=st.integers(0, 5))
def test_a_body_that_can_not_be_sent_again_is_never_sent_again(outcome, repeatable, retries):
    assert why_not_again(outcome, repeatable, replayable=False, retries=retries)


@given(repeatable=repeatables, retries=st.integers(0, 5))
def test_what_was_not_processed_may_always_go_elsewhere_and_costs_nothing(repeatable, retries):
    for outcome in UNPROCESSED:
        assert not why_not_again(outcome, repeatable, replayable=True, retries=retries)
        assert not needs_budget(outcome)


@given(repeatable=repeatables, retries=st.integers(0, 5))
def test_what_was_sent_is_retried_twice_at_most_and_only_if_harmless(repeatable, retries):
    for outcome in (Outcome.CONNECTION_LOST, Outcome.UNAVAILABLE):
        repeated = not why_not_again(outcome, repeatable, replayable=True, retries=retries)
        assert repeated is (repeatable is not Repeatable.ONCE and retries < MOST_RETRIES)
        assert needs_budget(outcome)


@given(repeatable=repeatables, retries=st.integers(0, 5))
def test_after_a_time_out_only_requests_that_change_nothing_are_retried(repeatable, retries):
    for outcome in (Outcome.TIMED_OUT, Outcome.GATEWAY_TIMEOUT):
        repeated = not why_not_again(outcome, repeatable, replayable=True, retries=retries)
        assert repeated is (repeatable is Repeatable.SAFE and retries < MOST_RETRIES)
        assert needs_budget(outcome)


@given(repeatable=repeatables, retries=st.integers(0, 5))
def test_what_an_overloaded_instance_did_not_process_goes_elsewhere_within_the_budget(repeatable, retries):
    why_not = why_not_again(Outcome.OVERLOADED, repeatable, replayable=True, retries=retries)
    assert (not why_not) is (retries < MOST_RETRIES)
    assert needs_budget(Outcome.OVERLOADED)


def test_nothing_else_is_retried():
    for outcome in (Outcome.THROTTLED, Outcome.NOT_RETRYABLE, Outcome.CANCELLED, Outcome.OUT_OF_RESOURCES):
        assert why_not_again(outcome, Repeatable.SAFE, replayable=True, retries=0)


def test_an_error_that_aiohttp_would_retry_ends_as_unreachable():
    assert aiohttp.client.IDEMPOTENT_METHODS == IDEMPOTENT
    for method in IDEMPOTENT:
        assert ending_of(Outcome.CONNECTION_LOST, method=method, retries=0) is Ending.UNREACHABLE
    for method in ("POST", "PATCH"):
        assert ending_of(Outcome.CONNECTION_LOST, method=method, retries=0) is Ending.AS_IT_IS
        assert ending_of(Outcome.CONNECTION_LOST, method=method, retries=1) is Ending.UNREACHABLE


@given(method=st.sampled_from(["GET", "POST"]), retries=st.integers(0, 3))
def test_what_only_this_attempt_has_seen_reaches_the_caller(method, retries):
    for outcome in (
        Outcome.TIMED_OUT,
        Outcome.NOT_RETRYABLE,
        Outcome.OUT_OF_RESOURCES,
        Outcome.UNAVAILABLE,
        Outcome.GATEWAY_TIMEOUT,
        Outcome.THROTTLED,
        Outcome.OVERLOADED,
    ):
        assert ending_of(outcome, method=method, retries=retries) is Ending.AS_IT_IS
    for outcome in UNPROCESSED:
        assert ending_of(outcome, method=method, retries=retries) is Ending.UNREACHABLE
