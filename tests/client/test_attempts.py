import json
import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given
from hypothesis import strategies as st

from peerage.client.attempts import IDEMPOTENT, REPLAYS, Failure, classify, ends_unreachable, may_repeat
from peerage.client.places import first_place_of, make_place, places_of
from peerage.client.recent import Recent
from peerage.records.decode import decode

KEY = ConnectionKey("here", 80, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "no")), Failure.UNRESOLVED),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), Failure.UNSENT),
        (aiohttp.ClientConnectorError(KEY, OSError(113, "no route")), Failure.UNSENT),
        (aiohttp.ClientConnectorError(KEY, OSError(24, "too many files")), Failure.FINAL),
        (aiohttp.ConnectionTimeoutError(), Failure.UNSENT),
        (aiohttp.SocketTimeoutError(), Failure.SILENT),
        (aiohttp.ServerDisconnectedError(), Failure.LOST),
        (aiohttp.ClientOSError(104, "reset"), Failure.LOST),
        (aiohttp.ClientConnectionResetError(), Failure.LOST),
        (aiohttp.ServerFingerprintMismatch(b"a", b"b", "here", 80), Failure.FINAL),
        (aiohttp.ClientPayloadError(), Failure.FINAL),
        (aiohttp.ClientConnectionError("Connector is closed."), Failure.FINAL),
        (TimeoutError(), Failure.FINAL),
        (ValueError(), Failure.FINAL),
    ],
)
def test_what_an_exception_means(error, failure):
    assert classify(error) is failure


failures = st.sampled_from(Failure)


@given(failure=failures, idempotent=st.booleans(), replays=st.integers(0, 5))
def test_a_consumed_body_is_never_sent_again(failure, idempotent, replays):
    assert not may_repeat(failure, idempotent=idempotent, body_consumed=True, replays=replays)


@given(idempotent=st.booleans(), replays=st.integers(0, 5))
def test_what_was_not_processed_may_always_go_elsewhere(idempotent, replays):
    for failure in (Failure.UNSENT, Failure.UNRESOLVED, Failure.MISDIRECTED):
        assert may_repeat(failure, idempotent=idempotent, body_consumed=False, replays=replays)


@given(
    failure=st.sampled_from([Failure.LOST, Failure.SILENT]),
    replays=st.integers(0, 5),
    idempotent=st.booleans(),
)
def test_what_was_sent_is_repeated_twice_at_most_and_only_if_harmless(failure, replays, idempotent):
    expected = idempotent and replays < REPLAYS
    assert may_repeat(failure, idempotent=idempotent, body_consumed=False, replays=replays) is expected


@given(failure=failures, method=st.sampled_from([*IDEMPOTENT, "POST", "PATCH"]), replays=st.integers(0, 2))
def test_nothing_that_aiohttp_would_repeat_reaches_it_as_it_is(failure, method, replays):
    ends = ends_unreachable(failure, method=method, replays=replays)
    if failure is Failure.LOST and method in IDEMPOTENT:
        assert ends
    if failure in (Failure.FINAL, Failure.SILENT):
        assert not ends


def test_recent_members_leave_by_themselves():
    now = [0.0]
    recent = Recent(10, lambda: now[0])
    assert not recent
    recent.add("a")
    now[0] = 5
    recent.add("b")
    assert sorted(recent) == ["a", "b"]
    now[0] = 10
    assert "a" not in recent
    assert list(recent) == ["b"]
    now[0] = 15
    assert list(recent) == []
    assert not recent


def test_recent_is_bounded():
    recent = Recent(10, lambda: 0.0)
    for number in range(10_000):
        recent.add(str(number))
    assert len(recent._until) <= 4096
    assert "9999" in recent


def make(web, *, host="here", instance_id=None, **own):
    record = {
        "host": host,
        "web": web,
        "peerage": own,
        **({"instance_id": instance_id} if instance_id else {}),
    }
    return decode("App.1", json.dumps(record).encode(), host_key="mine").instance


@pytest.mark.parametrize(
    ("instance", "places"),
    [
        (make([["0.0.0.0", 80]]), [make_place("here", 80)]),
        (make([["0.0.0.0", 80], ["::", 80]]), [make_place("here", 80)]),
        (make([["0.0.0.0", 80], ["0.0.0.0", 81]]), [make_place("here", 80), make_place("here", 81)]),
        (make([["0.0.0.0", 80]], host_key="mine"), [make_place("127.0.0.1", 80)]),
        (make([["0.0.0.0", 80], ["::", 80]], host_key="mine"), [make_place("127.0.0.1", 80)]),
        (
            make([["10.0.0.1", 80], ["2001:db8::1", 80]]),
            [make_place("10.0.0.1", 80), make_place("2001:db8::1", 80)],
        ),
        (make([["0.0.0.0", 80]], host="10.0.0.7", instance_id="orders-1"), [make_place("10.0.0.7", 80)]),
        (
            make([["0.0.0.0", 80]], instance_id="Orders-1", addresses=["10.0.0.1", "2001:db8::1"]),
            [
                make_place("here", 80),
                make_place("orders-1", 80, stand_in=True),
                make_place("10.0.0.1", 80, stand_in=True),
                make_place("2001:db8::1", 80, stand_in=True),
            ],
        ),
        (make([["0.0.0.0", 80]], instance_id="here"), [make_place("here", 80)]),
        # None of these is a host name; bare numbers would be read as addresses.
        *(
            (make([["0.0.0.0", 80]], instance_id=one), [make_place("here", 80)])
            for one in ("17", "a b", "a/b", "a:b")
        ),
    ],
)
def test_places_of_an_instance(instance, places):
    assert places_of(instance) == places


def test_authorities():
    assert make_place("2001:db8::1", 80).authority == "[2001:db8::1]:80"
    assert make_place("node_1.", 80).authority == "node_1.:80"
    assert make_place("b\u00fccher.example", 80).authority == "xn--bcher-kva.example:80"
    assert make_place("x" * 300 + "\u00fc", 80).authority is None


def test_places_are_bounded_and_the_quick_way_leads_to_the_first():
    instance = make([["0.0.0.0", port] for port in range(1, 2000)], addresses=["10.0.0.1"] * 50)
    assert len(places_of(instance)) == 16
    assert places_of(instance)[0] == first_place_of(instance)
