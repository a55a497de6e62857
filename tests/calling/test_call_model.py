"""Whatever happens to its attempts, a call ends, and leaves no request counted as under way."""

import socket
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.calling.conftest import World

from peerage.balancing import Outcome
from peerage.calling import Attempt, GiveUp, Lookups, Pause, Relieve, TlsProbe
from peerage.calling.trace import begin_trace


@given(
    data=st.data(),
    instances=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6),
    has_key=st.booleans(),
)
def test_every_call_ends_and_leaves_no_count_whatever_happens(data, instances, has_key):
    """Its trace and the counters agree on what it did."""
    world = World()
    for near, two in instances:
        web = [["0.0.0.0", 80], ["::", 81]] if two else None
        world.advertise(near=near, host=f"node-{near}-{two}", web=web)
    outcomes = Counter[str]()
    for _ in range(3):
        trace = begin_trace(("service_id", "orders"), "POST")
        call = world.call("POST", has_key=has_key, trace=trace)
        answered = drive(world, call, data)
        call.close()
        if answered is not None:
            call.over(answered, Outcome.ANSWERED)
        assert world.balancer.outstanding == {}
        assert call.service.outstanding == 0
        assert call.service.budget.balance(world.clock()) >= 0
        outcomes.update(attempt.outcome for attempt in trace.attempts)
        asked = {attempt.record for attempt in trace.attempts}
        assert not asked & {each.record for each in trace.left_out}
        waits = [wait.seconds for wait in trace.waits]
        assert None not in (*waits, trace.seconds, *(attempt.seconds for attempt in trace.attempts))
    assert world.balancer.observer.counts().attempts == outcomes


def drive(world, call, data):
    """Carry out *call* with outcomes from *data*; return the attempt that was answered, if one was."""
    for _ in range(200):
        step = call.next()
        if isinstance(step, GiveUp):
            return None
        world.clock.now += data.draw(st.sampled_from([0.0, 0.3, 1.5]))
        if isinstance(step, Pause | Relieve):
            continue
        if isinstance(step, TlsProbe):
            step.speaks_tls = data.draw(st.booleans())
            continue
        if isinstance(step, Lookups):
            for host in step.hosts:
                look_up(world, host, data.draw(st.sampled_from(["found", "failed", "slow"])))
            continue
        assert isinstance(step, Attempt)
        if (second := drive_second(world, call, step, data)) is not None:
            return second
        outcome = data.draw(st.sampled_from([*Outcome, None]))
        if outcome is None:
            return None
        call.done(step, outcome, "failed", replayable=data.draw(st.booleans()))
        if outcome is Outcome.ANSWERED:
            return step
    raise AssertionError("it goes on for ever")


def drive_second(world, call, first, data):
    """Perhaps make a backup of *first*; return it if it was answered."""
    second = call.back_up(first) if data.draw(st.booleans()) else None
    if second is None:
        return None
    world.clock.now += data.draw(st.sampled_from([0.0, 0.3, 1.5]))
    outcome = data.draw(st.none() | st.sampled_from(Outcome))
    if outcome is Outcome.ANSWERED:
        # The first one has failed before, or is given up now.
        call.done(first, data.draw(st.sampled_from([Outcome.CANCELLED, Outcome.CONNECTION_LOST])))
        call.done(second, outcome)
        return second
    if outcome is not None:
        call.done(second, outcome)
    return None


def look_up(world, host, result):
    if world.addresses.entry(host).started is None:
        world.addresses.started(host)
    if result == "found":
        world.addresses.found(host, ["10.0.0.1" if host.family == socket.AF_INET else "fd00::1"])
    elif result == "failed":
        world.addresses.failed(host, "no")
    else:
        world.clock.now += 0.5
