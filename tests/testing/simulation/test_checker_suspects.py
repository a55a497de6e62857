"""The invariants about suspects, and about what is known from disk, with traces that just violate them."""

from dataclasses import replace

from tests.testing.simulation.checked import SECOND, SIGHT, call, found, seen

from peerage.testing.simulation.trace import (
    REGISTRY,
    Advertised,
    Ended,
    FaultBegan,
    FaultEnded,
    Started,
    TokenSeen,
)


def test_an_instance_to_which_nothing_happened_is_no_suspect():
    suspect = SIGHT._replace(state="suspect")
    seen_twice = seen(40.0, suspect, SECOND), seen(40.1, SIGHT, SECOND)
    assert "suspected" in found(*seen_twice)
    for kind, hosts, peers, excused in (
        ("expiry", ("a",), (), True),
        ("outage", (REGISTRY,), (), True),
        ("throttling", (REGISTRY,), (), False),
        ("partition", ("a",), (REGISTRY,), True),
        ("partition", ("b",), (REGISTRY,), False),
        ("stop", ("b",), (), False),
    ):
        fault = FaultBegan(17.0, 1, kind, hosts, peers)
        events = fault, FaultEnded(18.0, 1), *seen_twice
        assert ("suspected" not in found(*events)) == excused, (kind, hosts, peers)
        # It was over for long.
        assert "suspected" in found(fault, FaultEnded(17.9, 1), *seen_twice)
    assert "suspected" not in found(Ended(39.0, "orders-1"), *seen_twice)


def test_a_process_that_was_stopped_learns_late_why_a_record_vanished():
    expiry = FaultBegan(5.0, 1, "expiry", ("a",), ()), FaultEnded(5.1, 1)
    suspect = seen(40.0, SIGHT._replace(state="suspect"), SECOND), seen(40.1, SIGHT, SECOND)
    for host, end, excused in (("b", 39.9, True), ("b", 17.0, False), ("c", 39.9, False)):
        stop = FaultBegan(5.0, 2, "stop", (host,), ()), FaultEnded(end, 2)
        assert ("suspected" not in found(*expiry, *stop, *suspect)) == excused, (host, end)


def test_what_a_snapshot_has_is_there_while_it_is_applied():
    suspect, renewed = SIGHT._replace(state="suspect"), SIGHT._replace(nonce="n3")
    old = SIGHT._replace(superseded=True)
    lag = FaultBegan(1.0, 1, "server crash", (REGISTRY,))
    told = Advertised(29.0, "orders-1", "n3", "orders", "orders-1", "a:80")

    def applied(*states, stale=True):
        """The directory has these one after the other, while a snapshot is applied."""
        views = [seen(30.0, *state, stale=stale) for state in states]
        return found(lag, told, *views, seen(30.000001, renewed, SECOND))

    assert applied((old, renewed, SECOND)) == []
    assert applied((suspect, SECOND)) == ["flickering"]
    assert applied((SECOND,), (old, renewed, SECOND)) == ["flickering"]
    # Single changes may have happened in that order.
    assert applied((suspect, SECOND), stale=False) == []
    assert found(lag, told, seen(30.0, suspect, SECOND, stale=True), seen(30.1, renewed, SECOND)) == []


def test_no_token_is_sent_to_an_address_that_is_known_from_disk_only():
    began, ended = call(20.0, 20.1)
    token = TokenSeen(20.05, "orders-1", allowed=True, call=began.call)

    def late(*views):
        views = [replace(view, process="late") for view in views]
        return found(Started(19.0, "late", "b"), *views, replace(began, process="late"), token, ended)

    from_disk = seen(19.5, SIGHT, SECOND, stale=True)
    assert "token" in late(from_disk)
    assert "token" not in late(from_disk, seen(19.6, SIGHT, SECOND))
    assert "token" not in late(from_disk, seen(21.0, SIGHT, SECOND))
    assert "token" in late(from_disk, seen(21.1, SIGHT, SECOND))
