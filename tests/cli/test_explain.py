"""``peerage get --explain``."""

import json

from peerage.calling.trace import AttemptTrace, CallTrace, LeftOut, Wait
from peerage.cli.explain import explain

URL = "http://shop.service_id.asab/echo"


async def test_it_says_after_the_answer_which_instance_was_asked_and_why(peerage, serve):
    await serve("shop-1")
    result = await peerage("get", "--explain", URL)
    assert result.code == 0
    assert json.loads(result.out)["method"] == "GET"
    assert "GET shop.service_id.asab: 1 instance is known by that name\n" in result.err
    (row,) = [line for line in result.err.splitlines() if " shop-1 " in line]
    assert " answered, body after " in row
    assert row.endswith("  the only one")


async def test_it_says_why_a_call_fails(peerage, serve, free_port):
    ghost = {"host": "127.0.0.1", "service_id": "ghost", "instance_id": "ghost-1"}
    await serve("", json.dumps({**ghost, "web": [["0.0.0.0", free_port]]}))
    result = await peerage("get", "--explain", "http://ghost.service_id.asab/")
    assert result.code == 4
    (row,) = [line for line in result.err.splitlines() if " ghost-1 " in line]
    assert f"127.0.0.1:{free_port}" in row
    assert "no connection: " in row


async def test_a_host_that_is_no_name_of_ours_has_nothing_to_explain(peerage, serve):
    service = await serve("shop-1")
    result = await peerage("get", "--explain", f"{service.url}/echo")
    assert (result.code, result.err) == (
        0,
        "peerage: 127.0.0.1 isn't a .asab name, so no instance was chosen.\n",
    )


def test_attempts_and_waits_are_in_order_and_the_instances_left_out_follow():
    trace = CallTrace("GET", "orders.service_id.asab", known=104, seconds=0.3)
    trace.attempts = [
        AttemptTrace("o1", "App.1", "127.0.0.1:80", "the only one", 0.0, 0.1, "connection_lost", "reset"),
        AttemptTrace("o1", "App.1", "127.0.0.1:80", "the only one", 0.2, 0.1, "answered", "", 0.0005),
    ]
    trace.waits = [Wait("before the same instance is asked again", 0.1, 0.1)]
    trace.left_out = [LeftOut("o2\x1b[1m", "App.2", "it is draining")]
    first, _, heads, lost, waited, answered, _, *rest = explain(trace)
    assert first == "GET orders.service_id.asab: 104 instances are known by that name"
    assert heads.split("  ")[0] == "BEGAN"
    assert "the connection broke: reset" in lost
    assert waited.startswith("100.0 ms  100.0 ms  (waited)")
    assert "answered, body after 0.5 ms" in answered
    assert [line.split() for line in rest] == [
        ["NOT", "ASKED", "WHY"],
        ["o2\\x1b[1m", "it", "is", "draining"],
        ["and", "102", "more"],
    ]


def test_an_attempt_under_way_is_shown_as_such():
    trace = CallTrace("GET", "orders.service_id.asab", known=1)
    trace.attempts = [AttemptTrace("o1", "App.1", "127.0.0.1:80", "the only one", 0.0)]
    assert "under way" in [*explain(trace)][-1]
