"""Each invariant with a trace that violates it, and one that just doesn't."""

from dataclasses import replace

import pytest
from tests.testing.simulation.checked import CLUSTER, SECOND, SIGHT, call, found, seen, until

from peerage.testing.simulation.checker import INVARIANTS, check
from peerage.testing.simulation.trace import (
    REGISTRY,
    Advertised,
    CallBegan,
    Ended,
    FaultBegan,
    FaultEnded,
    Handled,
    Resting,
    Sight,
    Started,
    TokenSeen,
    Updated,
    Withdrawn,
)


def test_a_trace_without_faults_keeps_all_promises():
    assert found(*call(20.0, 20.1, "", "answered"), until(40.0)) == []


def test_each_invariant_says_in_a_line_what_must_hold():
    for invariant in INVARIANTS.values():
        assert invariant.__doc__
        assert invariant.__doc__.endswith(".")
        assert "\n" not in invariant.__doc__


def test_an_event_about_something_unknown_is_refused():
    with pytest.raises(ValueError, match="incomplete"):
        check([Ended(1.0, "orders-1")])


class TestDirectories:
    def test_an_instance_is_missing_after_settling(self):
        assert found(seen(1.0, SIGHT), until(11.0)) == ["missing"]
        assert found(seen(1.0, SIGHT), until(10.9)) == []
        assert found(seen(1.0, SIGHT), seen(11.0, SIGHT, SECOND), until(20.0)) == []

    def test_a_directory_without_any_view_is_one_without_instances(self):
        assert found(until(20.0), cluster=CLUSTER[:-1]) == ["missing", "missing"]
        others = [replace(CLUSTER[2], observes=False), *CLUSTER[:2], *CLUSTER[3:-1]]
        assert found(until(20.0), cluster=others) == []

    def test_settling_begins_when_the_last_fault_has_ended(self):
        fault = FaultBegan(5.0, 1, "partition", ("a",)), FaultEnded(20.0, 1)
        assert found(*fault, seen(6.0, SIGHT), seen(31.0, SIGHT, SECOND), until(40.0)) == []
        assert found(*fault, seen(6.0, SIGHT), seen(31.1, SIGHT, SECOND), until(40.0)) == ["missing"]
        assert found(fault[0], seen(6.0, SIGHT), until(400.0)) == []

    def test_settling_begins_when_the_last_process_has_started_or_ended(self):
        started = Started(5.0, "other", "d", observes=False), Ended(15.0, "other")
        assert found(*started, seen(6.0, SIGHT), seen(26.0, SIGHT, SECOND), until(40.0)) == []
        assert found(*started, seen(6.0, SIGHT), seen(26.1, SIGHT, SECOND), until(40.0)) == ["missing"]

    def test_an_update_must_arrive(self):
        update = Updated(20.0, "n1", version=3)
        assert found(update, until(32.0)) == ["outdated"]
        assert found(update, seen(31.0, SIGHT._replace(version=3), SECOND), until(40.0)) == []

    def test_an_alive_instance_is_no_suspect_after_settling(self):
        assert found(seen(1.0, SIGHT._replace(state="suspect"), SECOND), until(12.0)) == [
            "suspected",
            "outdated",
        ]

    @pytest.mark.parametrize("end", [Ended(20.0, "orders-1"), Withdrawn(20.0, "n1")])
    def test_an_instance_that_has_ended_is_a_ghost(self, end):
        assert found(end, until(32.0)) == ["ghost"]
        assert found(end, until(30.9)) == []
        assert found(end, seen(31.0, SECOND), until(40.0)) == []
        assert found(end, seen(30.0, SECOND, SIGHT._replace(superseded=True)), until(40.0)) == ["ghost"]

    def test_the_session_of_an_instance_that_ended_while_cut_off_may_begin_anew(self):
        """What its process has sent arrives after the cut, at intervals that double: here until 28 s."""
        cut = (
            FaultBegan(18.0, 1, "partition", ("a",), (REGISTRY,)),
            Ended(20.0, "orders-1"),
            FaultEnded(23.0, 1),
        )
        assert found(*cut, until(38.9)) == []
        assert found(*cut, until(39.1)) == []
        assert found(*cut, seen(39.1, SIGHT, SECOND), until(39.2)) == ["ghost"]
        others = FaultBegan(18.0, 1, "partition", ("c",), (REGISTRY,)), *cut[1:]
        assert found(*others, until(38.9)) == ["ghost"]

    def test_a_suspect_is_a_ghost_when_its_time_is_over(self):
        suspect = SIGHT._replace(state="suspect")
        kept = Ended(20.0, "orders-1"), seen(25.0, suspect, SECOND)
        assert found(*kept, until(325.0)) == []
        assert found(*kept, until(327.0)) == ["ghost"]
        assert found(*kept, seen(326.0, SECOND), until(340.0)) == []
        assert found(*kept, seen(326.5, SECOND), until(340.0)) == ["ghost"]
        assert found(*kept, FaultBegan(30.0, 1, "stop", ("b",)), until(340.0)) == []

    def test_a_record_of_no_process_is_a_ghost(self):
        assert found(seen(1.0, SIGHT, SECOND, Sight("n3", "other", "other-1", "d:80")), until(12.0)) == [
            "ghost"
        ]

    def test_two_records_of_one_advertisement_are_twins(self):
        twin = SIGHT._replace(superseded=True)
        assert found(seen(1.0, SIGHT, twin, SECOND), until(12.0)) == ["twin"]
        assert found(seen(1.0, SIGHT, twin, SECOND), seen(10.0, SIGHT, SECOND), until(12.0)) == []

    def test_an_instance_is_never_shown_twice(self):
        predecessor = SIGHT._replace(nonce="n0")
        assert found(seen(1.0, SIGHT, predecessor, SECOND), seen(2.0, SIGHT, SECOND)) == ["twin"]
        hidden = predecessor._replace(superseded=True)
        assert found(seen(1.0, SIGHT, hidden, SECOND), seen(2.0, SIGHT, SECOND)) == []

    def test_a_predecessor_isnt_shown_beside_its_successor(self):
        successor = (
            Started(20.0, "orders-1b", "a", observes=False),
            Advertised(20.0, "orders-1b", "n3", "orders", "orders-1", "a:81"),
        )
        ended, new = Ended(19.0, "orders-1"), SIGHT._replace(nonce="n3", address="a:81")
        both, old_one = seen(21.0, SIGHT, new, SECOND), SIGHT._replace(superseded=True)
        assert found(ended, *successor, both, seen(22.1, new, SECOND)) == ["predecessor"]
        # It has a second to remove the record, and longer while something is disturbed.
        assert found(ended, *successor, both, seen(22.0, new, SECOND)) == []
        fault = FaultBegan(21.5, 1, "server crash", (REGISTRY,))
        assert found(fault, ended, *successor, both, seen(22.1, new, SECOND)) == []
        later = seen(22.1, new, SECOND)
        assert found(ended, *successor, seen(21.0, old_one, new, SECOND), later) == []
        assert found(ended, *successor, seen(21.0, SIGHT, SECOND), later) == []
        assert found(replace(ended, at=22.0), *successor, both, later) == []
        # A suspect is shown, too.
        suspect = SIGHT._replace(state="suspect")
        assert found(ended, *successor, seen(21.0, suspect, new, SECOND), later) == ["predecessor"]

    def test_a_directory_isnt_emptied_while_an_instance_is_alive(self):
        fault = FaultBegan(1.0, 1, "server crash", (REGISTRY,))
        assert found(fault, seen(5.0), until(6.0)) == ["emptied", "emptied"]
        assert found(fault, seen(5.0, SIGHT._replace(state="suspect")), until(6.0)) == []
        assert found(fault, seen(5.0, SIGHT), Ended(5.5, "orders-1"), seen(6.0), until(6.0)) == []

    def test_a_directory_may_be_empty_for_a_moment_in_a_process_that_was_stopped(self):
        lag = FaultBegan(1.0, 1, "server crash", (REGISTRY,))
        for kind, hosts, peers, excused in (
            ("stop", ("b",), (), True),
            ("stop", ("a",), (), False),
            ("expiry", ("a", "c"), (), False),
            ("clock jump", ("b",), (), False),
            ("partition", ("b",), ("a", "c"), False),
            ("partition", ("b",), (REGISTRY,), False),
        ):
            fault = FaultBegan(3.0, 2, kind, hosts, peers)
            events = (lag, fault, FaultEnded(4.5, 2), seen(5.0), seen(5.1, SIGHT, SECOND), until(6.0))
            assert ("emptied" not in found(*events)) == excused, (kind, hosts, peers)

    def test_a_directory_may_be_empty_if_a_session_ends_in_the_moment_of_an_update(self):
        def updated(at):
            return Updated(at, "n1", version=1), Updated(at, "n2", version=1)

        lag, expiry = (
            FaultBegan(1.0, 1, "server crash", (REGISTRY,)),
            FaultBegan(4.5, 2, "expiry", ("a", "c")),
        )
        rest = (seen(5.0), seen(5.1, SIGHT, SECOND), until(6.0))
        assert "emptied" not in found(lag, *updated(4.4), expiry, *rest)
        assert "emptied" in found(lag, *updated(3.9), expiry, *rest)
        # A server that lags tells both late, and together.
        late = FaultBegan(1.1, 3, "lag", (REGISTRY,))
        assert "emptied" not in found(lag, late, *updated(3.9), expiry, *rest)
        assert "emptied" in found(lag, *updated(4.4), *rest)

    def test_a_directory_may_drop_an_instance_that_drains(self):
        fault = FaultBegan(1.0, 1, "server crash", (REGISTRY,))
        events = fault, seen(2.0, SIGHT), Updated(4.0, "n1", "draining"), seen(5.0)
        assert found(*events) == []

    def test_a_directory_may_drop_a_suspect_whose_time_is_over(self):
        fault, suspect = FaultBegan(1.0, 1, "server crash", (REGISTRY,)), SIGHT._replace(state="suspect")
        assert found(fault, seen(5.0, suspect), seen(305.0)) == []
        assert found(fault, seen(5.0, suspect), seen(304.9)) == ["emptied"]

    def test_a_directory_without_registry_says_so(self):
        outage = FaultBegan(1.0, 1, "outage", (REGISTRY,))
        assert found(outage, until(11.0)) == []
        assert found(outage, until(12.1)) == ["silent"]
        assert found(outage, seen(12.0, SIGHT, SECOND, stale=True), until(12.1)) == []
        assert found(outage, Ended(12.0, "shop"), until(12.1)) == []
        assert found(outage, FaultBegan(2.0, 2, "stop", ("b",)), until(12.1)) == []
        # The first server answers before the last one is back, which ends the outage.
        assert found(outage, FaultEnded(12.9, 1), until(30.0)) == []
        assert found(outage, FaultEnded(13.1, 1), until(14.0)) == ["silent"]

    def test_a_directory_in_touch_doesnt_say_that_it_isnt(self):
        assert found(seen(1.0, SIGHT, SECOND, stale=True), until(12.0)) == ["stale"]
        assert found(seen(1.0, SIGHT, SECOND, stale=True), until(10.9)) == []

    def test_a_partition_cuts_off_some(self):
        assert found(FaultBegan(1.0, 1, "partition", (REGISTRY,), ("b",)), until(12.1)) == ["silent"]
        assert found(FaultBegan(1.0, 1, "partition", (REGISTRY,), ("a",)), until(12.1)) == []
        assert found(FaultBegan(1.0, 1, "slow disk", (REGISTRY,)), until(12.1)) == []


class TestCalls:
    def test_no_call_fails_while_an_instance_is_reachable(self):
        assert found(*call(20.0, 20.1, "refused", "connect_failed")) == ["failed call"]
        assert found(*call(20.0, 20.1, "refused", "connect_failed", repeatable="idempotent")) == [
            "failed call"
        ]
        assert found(*call(20.0, 20.1, "refused", "connect_failed", repeatable="once")) == []

    def test_a_call_may_fail_if_a_fault_affects_each_instance(self):
        failed = call(20.0, 20.1, "refused", "connect_failed")
        one = FaultBegan(20.05, 1, "stop", ("a",))
        assert found(*failed, one) == ["failed call"]
        assert found(*failed, one, FaultBegan(20.0, 2, "partition", ("c",), ("b", "d"))) == []
        assert found(*failed, one, FaultBegan(20.0, 2, "partition", ("c",), ("d",))) == ["failed call"]
        assert found(*failed, FaultBegan(1.0, 1, "stop", ("b",)), FaultEnded(19.0, 1)) == ["failed call"]
        assert found(*failed, FaultBegan(1.0, 1, "stop", ("b",)), FaultEnded(20.0, 1)) == []

    def test_a_call_may_fail_if_no_instance_lasts(self):
        failed = call(20.0, 20.1, "refused", "connect_failed")
        assert found(*failed, Ended(20.05, "orders-1")) == ["failed call"]
        assert found(*failed, Ended(20.05, "orders-1"), Withdrawn(20.0, "n2")) == []

    def test_a_call_may_fail_if_no_instance_is_known_all_the_time(self):
        fault, failed = FaultBegan(1.0, 1, "server crash", (REGISTRY,)), call(20.0, 20.1, "not discovered")
        other = Sight("n3", "orders", "orders-3", "d:80")
        assert found(fault, seen(19.0, SIGHT), seen(20.05, SIGHT, SECOND), *failed) == ["failed call"]
        assert found(fault, seen(19.0, other), seen(20.05, SIGHT, SECOND), *failed) == []

    def test_a_call_may_fail_when_its_deadline_leaves_no_time_for_an_attempt(self):
        assert found(*call(20.0, 20.5, "late", deadline=20.55)) == []
        assert found(*call(20.0, 20.5, "late", deadline=20.65)) == ["failed call"]

    def test_a_call_may_fail_when_it_was_retried_as_often_as_one_may_be(self):
        lost = ["connection_lost"] * 3
        assert found(*call(20.0, 20.5, "lost", *lost)) == []
        assert found(*call(20.0, 20.5, "lost", *lost[:2])) == ["failed call"]

    def test_an_idempotent_call_that_may_still_be_processed_may_fail(self):
        assert found(*call(20.0, 20.5, "slow", "timed_out", repeatable="idempotent")) == []
        assert found(*call(20.0, 20.5, "slow", "timed_out", repeatable="safe")) == ["failed call"]

    def test_a_call_may_fail_when_the_budget_is_used_up(self):
        retried = [
            event
            for number in range(5)
            for event in call(
                20.0 + number, 20.5 + number, "", "connection_lost", "answered", label=f"{number}"
            )
        ]
        assert found(*retried, *call(30.0, 30.5, "lost", "connection_lost")) == []
        assert found(*retried[4:], *call(30.0, 30.5, "lost", "connection_lost")) == ["failed call"]
        # Successes earn further retries.
        more = [
            event
            for number in range(10)
            for event in call(38.0, 38.1, "", "answered", label=f"more {number}")
        ]
        assert found(*retried, *more, *call(40.0, 40.5, "lost", "connection_lost")) == ["failed call"]

    def test_a_safe_call_finds_an_instance_in_time(self):
        assert found(*call(20.0, 30.0, "", "answered")) == []
        assert found(*call(20.0, 30.1, "", "answered")) == ["slow call"]
        assert found(CallBegan(20.0, "call", "shop", "orders"), until(31.0)) == ["slow call"]
        assert found(*call(20.0, 31.0, "", "answered", repeatable="idempotent")) == []

    def test_a_safe_call_may_last_if_its_backup_stops_or_its_caller(self):
        assert found(*call(20.0, 31.0, "", "cancelled", "answered")) == []
        assert found(*call(20.0, 31.0, "", "answered"), FaultBegan(22.0, 1, "stop", ("b",))) == []
        assert found(CallBegan(20.0, "call", "shop", "orders"), Ended(25.0, "shop"), until(31.0)) == []

    def test_a_safe_call_may_last_if_no_budget_is_left_for_its_backup(self):
        retried = [
            event
            for number in range(5)
            for event in call(13.0, 13.5, "", "connection_lost", "answered", label=f"{number}")
        ]
        assert found(*retried, *call(20.0, 31.0, "", "answered")) == []
        assert found(*retried[4:], *call(20.0, 31.0, "", "answered")) == ["slow call"]

    def test_a_call_ends_at_its_deadline(self):
        assert found(*call(20.0, 21.9, "late", deadline=21.0)) == []
        assert found(*call(20.0, 22.1, "late", deadline=21.0)) == ["late call"]
        assert found(CallBegan(20.0, "call", "shop", "orders", deadline=21.0), until(23.0)) == ["late call"]
        assert found(*call(20.0, 25.0, "late", deadline=21.0), FaultBegan(20.5, 1, "stop", ("b",))) == []

    def test_another_service_must_not_process_a_request(self):
        began, *rest = call(20.0, 20.1, "", "answered")
        assert found(began, *rest, Handled(20.05, "call", "orders-1", "orders")) == []
        assert found(began, *rest, Handled(20.05, "call", "orders-1", "prices")) == ["wrong service"]

    @pytest.mark.parametrize(
        ("repeatable", "expected"), [("once", ["repeated"]), ("idempotent", []), ("safe", [])]
    )
    def test_a_request_is_processed_once_unless_it_may_be_repeated(self, repeatable, expected):
        handled = [Handled(20.05, "call", process, "orders") for process in ("orders-1", "orders-2")]
        assert found(*call(20.0, 20.1, "", "answered", repeatable=repeatable), *handled) == expected
        assert found(*call(20.0, 20.1, "", "answered", repeatable=repeatable), handled[0]) == []

    def test_a_caller_retries_no_more_than_its_budget_allows(self):
        def lost(count: int) -> list:
            return [
                event
                for number in range(count)
                for event in call(
                    20.0 + number, 20.5 + number, "", "connection_lost", "answered", label=f"{number}"
                )
            ]

        assert found(*lost(5)) == []
        assert found(*lost(6)) == ["retries"]
        earned = [
            event for number in range(5) for event in call(19.0, 19.1, "", "answered", label=f"more {number}")
        ]
        assert found(*earned, *lost(6)) == []
        failovers = [
            event
            for number in range(9)
            for event in call(20.0, 20.5, "", "connect_failed", "answered", label=f"{number}")
        ]
        assert found(*failovers) == []

    def test_a_call_is_retried_twice_and_backed_up_once_at_most(self):
        lost = ["connection_lost"] * 5
        assert found(*call(20.0, 20.1, "", *lost[:3], "answered")) == []
        assert found(*call(20.0, 20.1, "", *lost[:4], "answered")) == ["retries"]

    def test_no_request_counts_as_under_way_when_none_is(self):
        assert found(Resting(20.0, "shop", 1)) == ["outstanding"]
        assert found(Resting(10.9, "shop", 1)) == []
        assert found(Resting(5.0, "shop", -1)) == ["outstanding"]

    def test_no_token_leaves_the_cluster(self):
        assert found(TokenSeen(5.0, "orders-1", allowed=True)) == []
        assert found(TokenSeen(5.0, "orders-1", allowed=False)) == ["token"]
