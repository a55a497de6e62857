import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from peerage.balancing import Outcome
from peerage.calling.retry import IDEMPOTENT, REPLAYS, Ending, ending_of, may_repeat

UNPROCESSED = (Outcome.CONNECT_FAILED, Outcome.UNRESOLVED, Outcome.MISDIRECTED)

outcomes = st.sampled_from(Outcome)


@given(outcome=outcomes, idempotent=st.booleans(), replays=st.integers(0, 5))
def test_a_body_that_can_not_be_sent_again_is_never_sent_again(outcome, idempotent, replays):
    assert not may_repeat(outcome, idempotent=idempotent, replayable=False, replays=replays)


@given(idempotent=st.booleans(), replays=st.integers(0, 5))
def test_what_was_not_processed_may_always_go_elsewhere(idempotent, replays):
    for outcome in UNPROCESSED:
        assert may_repeat(outcome, idempotent=idempotent, replayable=True, replays=replays)


@given(replays=st.integers(0, 5), idempotent=st.booleans())
def test_what_was_sent_is_repeated_twice_at_most_and_only_if_harmless(replays, idempotent):
    repeated = may_repeat(Outcome.CONNECTION_LOST, idempotent=idempotent, replayable=True, replays=replays)
    assert repeated is (idempotent and replays < REPLAYS)


@given(outcome=outcomes.filter(lambda each: each not in (*UNPROCESSED, Outcome.CONNECTION_LOST)))
def test_nothing_else_is_repeated(outcome):
    assert not may_repeat(outcome, idempotent=True, replayable=True, replays=0)


def test_an_error_that_aiohttp_would_repeat_ends_as_unreachable():
    assert aiohttp.client.IDEMPOTENT_METHODS == IDEMPOTENT
    for method in IDEMPOTENT:
        assert ending_of(Outcome.CONNECTION_LOST, method=method, replays=0) is Ending.UNREACHABLE
    for method in ("POST", "PATCH"):
        assert ending_of(Outcome.CONNECTION_LOST, method=method, replays=0) is Ending.AS_IT_IS
        assert ending_of(Outcome.CONNECTION_LOST, method=method, replays=1) is Ending.UNREACHABLE


@given(method=st.sampled_from(["GET", "POST"]), replays=st.integers(0, 3))
def test_what_only_this_attempt_has_seen_reaches_the_caller(method, replays):
    for outcome in (Outcome.TIMED_OUT, Outcome.NOT_RETRYABLE, Outcome.OUT_OF_RESOURCES):
        assert ending_of(outcome, method=method, replays=replays) is Ending.AS_IT_IS
    for outcome in UNPROCESSED:
        assert ending_of(outcome, method=method, replays=replays) is Ending.UNREACHABLE
