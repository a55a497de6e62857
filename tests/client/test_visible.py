"""What a program and its operator can see of calls."""

import asyncio
import logging

import pytest
from aiohttp import web

from peerage import Discovery, call_options, trace_calls
from peerage.balancing import Outcome
from peerage.client.journal import Journal
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"
NAME = ("service_id", "orders")
EMPTIED = (
    "No instance with service_id='orders' is left that can be called. Calls wait some seconds for a new one, "
    "and then fail."
)


def nowhere(_):
    """No instance is known."""


async def ask(session, method="GET"):
    async with session.request(method, ORDERS) as response:
        await response.read()
        return response.status


async def unavailable(request):
    raise web.HTTPServiceUnavailable


@pytest.fixture
def said(caplog):
    """Return the lines logged so far at the level INFO or above."""
    caplog.set_level(logging.INFO, "peerage.client")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "peerage.client"]


async def test_a_call_is_traced_with_its_failover(fleet):
    refused, good = fleet.refuse(), await fleet.serve()
    async with fleet.session() as session:
        with trace_calls() as traces:
            while len(traces) < 100 and (not traces or len(traces[-1].attempts) < 2):
                await ask(session)
        await ask(session)
    trace = traces[-1]
    assert (trace.method, trace.name) == ("GET", "orders.service_id.asab")
    first, second = trace.attempts
    assert (first.record, first.outcome) == (refused.name, "connect_failed")
    assert (first.address, first.problem) == (f"127.0.0.1:{refused.port}", "Connection refused")
    assert (second.record, second.address, second.outcome) == (
        good.name,
        f"127.0.0.1:{good.port}",
        "answered",
    )
    assert second.body_seconds is not None
    assert trace.seconds is not None


async def test_calls_of_tasks_begun_in_a_block_are_traced(fleet):
    await fleet.serve()
    async with fleet.session() as session:
        with trace_calls() as traces:
            await asyncio.gather(*(ask(session) for _ in range(3)))
        assert [trace.attempts[0].outcome for trace in traces] == ["answered"] * 3


async def test_counts_say_how_attempts_ended(fleet):
    bad, _good = await fleet.serve(unavailable), await fleet.serve()
    async with fleet.session() as session:
        for _ in range(100):
            if bad.hits:
                break
            await ask(session)
        with call_options(retry=False):
            before = fleet.client.journal.counts()
    assert before.attempts["unavailable"] == 1
    assert before.attempts["answered"] >= 1
    assert before.retries == 1


async def test_a_discovery_has_counts_before_its_first_call():
    async with Discovery("memory:") as discovery:
        assert discovery.call_counts().attempts == {}
        async with discovery.session():
            assert discovery.call_counts().ejections == 0


async def test_an_ejection_is_logged_once(fleet, said):
    bad, _good = await fleet.serve(unavailable), await fleet.serve()
    async with fleet.session() as session:
        while not fleet.client.journal.counts().ejections:
            await asyncio.gather(*(ask(session) for _ in range(20)))
        for _ in range(20):
            await ask(session)
    ejected = [line for line in said() if "ejected" in line]
    (line,) = ejected
    assert line.startswith("Instance orders-1 of service_id='orders' (http://here:")
    assert line.endswith(
        f", record {bad.name}) is ejected: too many of its requests failed, the last one as 'unavailable'. "
        "It gets no requests until a probe succeeds."
    )


async def test_an_instance_that_accepts_no_connection_is_logged_once(fleet, said):
    refusing, _good = fleet.refuse(), await fleet.serve()
    async with fleet.session() as session:
        while fleet.client.journal.counts().attempts.get("connect_failed", 0) < 1:
            await ask(session)
        fleet.client.balancer.probed(refusing.name, passed=False)
        for _ in range(20):
            await ask(session)
    (line,) = said()
    assert line.startswith("Instance orders-1 of service_id='orders' (http://")
    assert line.endswith(" accepts no connection. It gets no requests until a connection succeeds.")


async def test_a_name_without_an_instance_is_logged_if_it_was_called(fleet, said):
    other = fleet.advertise(80, "other")
    served = await fleet.serve()
    fleet.directory.remove(other)
    async with fleet.session() as session:
        await ask(session)
        fleet.directory.remove(served.name)
    assert said() == [EMPTIED]


async def test_the_end_of_an_incident_is_logged_after_some_calm(said):
    journal = Journal(nowhere, calm=0.0)
    journal.emptied(NAME)
    journal.filled(NAME)
    # It comes back before that.
    journal.emptied(NAME)
    await asyncio.sleep(0.01)
    assert said() == [EMPTIED]
    journal.filled(NAME)
    journal.filled(NAME)
    await eventually(lambda: not journal.open)
    assert said()[1:] == ["There are instances with service_id='orders' again."]
    journal.emptied(NAME)
    assert len(said()) == 3


async def test_an_instance_that_gets_requests_again_is_logged_unless_it_has_left(fleet, said):
    journal = Journal(nowhere, calm=0.0)
    for name in ("stays", "leaves"):
        instance = fleet.directory.get(fleet.advertise(80, node=f"App.{name}"))
        journal.ejected(instance, Outcome.TIMED_OUT)
        journal.readmitted(instance.name)
    journal.forget("App.leaves")
    await eventually(lambda: not journal.open)
    (again,) = said()[2:]
    assert again.startswith("Instance orders-1 of service_id='orders' (http://")
    assert again.endswith(", record App.stays) gets requests again.")


def test_an_instance_that_answers_no_probe_is_logged_once(said):
    journal = Journal(nowhere)
    for _ in range(2):
        journal.stalled("App.1")
    (line,) = said()
    assert line.startswith("The record 'App.1' has stalled: it answers neither requests nor a probe.")


def test_a_flood_of_incidents_is_not_logged(said):
    journal = Journal(nowhere)
    for number in range(2000):
        journal.stalled(f"App.{number}")
        journal.stalled(f"App.{number}")
    assert len(said()) == 1024


def test_a_budget_that_is_used_up_is_logged_once_and_counted_each_time(said):
    journal = Journal(nowhere)
    for _ in range(1000):
        journal.budget_used_up(NAME)
    assert len(said()) == 1
    assert "service_id='orders'" in said()[0]
    assert journal.counts().retries_refused == 1000


async def test_closing_ends_the_timers(said):
    journal = Journal(nowhere, calm=3600)
    journal.emptied(NAME)
    journal.filled(NAME)
    journal.close()
    assert not journal.open
