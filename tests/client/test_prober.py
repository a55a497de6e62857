"""Avoided instances are tried in the background."""

import asyncio
import resource
import ssl

import pytest
import trustme
from aiohttp import web

from peerage.balancing import Outcome
from peerage.directory import Guard
from peerage.registry import Record
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


async def read(session, method="GET"):
    async with session.request(method, ORDERS) as response:
        await response.read()
        return response.status


async def have_probed(fleet, session, instance):
    """Begin a probe of *instance* as one that may have stalled; return the request that waits there."""
    balancer = fleet.client.balancer
    waiting = balancer.pick([instance], balancer.service(("service_id", "orders")))
    fleet.clock.now += 2
    while not balancer.due:
        await read(session, "POST")
        balancer.check_stalled(waiting)
    await read(session, "POST")
    return waiting


async def test_an_instance_that_accepts_connections_again_is_called_again(fleet):
    good, dead = await fleet.serve(), fleet.refuse()
    async with fleet.session() as session:
        for _ in range(20):
            await read(session)
        assert [*fleet.client.balancer.avoided] == [dead.name]
        dead.socket.listen()
        fleet.clock.now += 2
        await read(session)
        await eventually(lambda: not fleet.client.balancer.avoided, "the probe")
    assert good.hits == 21


async def test_an_instance_that_still_refuses_is_avoided_for_another_second(fleet):
    await fleet.serve()
    dead = fleet.refuse()
    async with fleet.session() as session:
        for _ in range(20):
            await read(session)
        fleet.clock.now += 2
        await read(session)
        assert not fleet.client.balancer.due
        trouble = fleet.client.balancer.stats(dead.name).trouble
        await eventually(lambda: trouble.ejections == 1, "the probe")
        assert [*fleet.client.balancer.avoided] == [dead.name]


@pytest.mark.parametrize("recovered", [True, False])
async def test_callers_that_only_post_learn_by_a_head_request_that_an_instance_recovered(fleet, recovered):
    status = 503

    async def answer(request):
        return web.Response(status=status)

    bad, _ = await fleet.serve(answer), await fleet.serve()
    async with fleet.session() as session:
        while bad.name not in fleet.client.balancer.avoided:
            await read(session, "POST")
            fleet.clock.now += 30
        posts = bad.hits
        if recovered:
            status = 200
        fleet.clock.now += 2
        for _ in range(10):
            assert await read(session, "POST") == 200
        await eventually(lambda: bad.hits > posts, "the probe")
        assert bad.seen[posts].method == "HEAD"
        if recovered:
            await eventually(lambda: not fleet.client.balancer.avoided, "the result")
        else:
            assert bad.name in fleet.client.balancer.avoided


@pytest.mark.parametrize("kind", ["busy", "tls"])
async def test_any_answer_shows_that_a_suspected_instance_is_not_stopped(fleet, kind):
    """Also 503, and one over TLS, if the record doesn't say that the port speaks it, as those of asab."""

    async def refuse(request):
        return web.Response(status=503)

    tls = None
    if kind == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("orders").configure_cert(tls)
    slow, _ = await fleet.serve(refuse, ssl=tls), await fleet.serve()
    instance, balancer = fleet.directory.get(slow.name), fleet.client.balancer
    async with fleet.session() as session:
        waiting = await have_probed(fleet, session, instance)
        await eventually(lambda: slow.seen and slow.seen[-1].method == "HEAD", "the probe")
        await eventually(lambda: balancer.observer.counts().probes_passed == 1, "its result")
        assert not balancer.avoided
    waiting.done(Outcome.ANSWERED, fleet.clock())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_instance_that_wants_a_certificate_of_its_client_answers_a_probe_by_refusing_it(
    fleet, version
):
    """A probe has none, so no other answer would ever readmit the instance."""
    ca, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("orders").configure_cert(tls)
    ca.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.maximum_version = version
    slow, _ = await fleet.serve(ssl=tls), await fleet.serve()
    instance, balancer = fleet.directory.get(slow.name), fleet.client.balancer
    async with fleet.session() as session:
        waiting = await have_probed(fleet, session, instance)
        await eventually(lambda: balancer.observer.counts().probes_passed == 1, "the result of the probe")
        assert not balancer.avoided
    waiting.done(Outcome.ANSWERED, fleet.clock())


async def test_an_answer_to_a_probe_counts_although_it_comes_late(fleet):
    """Otherwise an instance that is slow to answer ``HEAD /`` would get no other request for ever."""
    late = asyncio.Event()

    async def answer(request):
        if request.method == "HEAD":
            await late.wait()
        return web.Response()

    slow, _ = await fleet.serve(answer), await fleet.serve()
    instance, balancer = fleet.directory.get(slow.name), fleet.client.balancer
    async with fleet.session() as session:
        waiting = await have_probed(fleet, session, instance)
        await eventually(lambda: slow.name in balancer.avoided, "no answer in time")
        fleet.clock.now += 2
        await read(session)
        assert not balancer.due
        late.set()
        await eventually(lambda: not balancer.avoided, "the answer")
        assert [each.method for each in slow.seen].count("HEAD") == 1
    waiting.done(Outcome.ANSWERED, fleet.clock())


async def test_a_probe_for_which_no_descriptor_is_left_says_nothing(fleet):
    await fleet.serve()
    dead = fleet.refuse()
    instance, balancer = fleet.directory.get(dead.name), fleet.client.balancer
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with fleet.session() as session:
        while dead.name not in balancer.avoided:
            await read(session)
        fleet.clock.now += 2
        assert balancer.pick([instance]) is None
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            await read(session)
            assert not balancer.due
            await asyncio.gather(*probes())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not balancer.observer.counts().probes_failed


async def test_an_instance_that_has_drained_and_closed_its_port_may_still_answer(fleet):
    drained = fleet.refuse(state="draining")
    await fleet.serve()
    balancer = fleet.client.balancer
    waiting = balancer.pick([fleet.directory.get(drained.name)], balancer.service(("service_id", "orders")))
    fleet.directory.remove(drained.name)
    async with fleet.session() as session:
        fleet.clock.now += 2
        await read(session)
        assert not balancer.check_stalled(waiting)
        assert balancer.due
        await read(session)
        await asyncio.gather(*probes())
        assert not balancer.check_stalled(waiting)
    assert not balancer.observer.counts().probes_failed
    waiting.done(Outcome.ANSWERED, fleet.clock())


async def test_closing_the_client_ends_probes(fleet):
    await fleet.serve()

    async def say_nothing(reader, writer):
        await reader.read()

    silent = await fleet.serve_raw(say_nothing)
    async with fleet.session() as session:
        balancer = fleet.client.balancer
        for _ in range(7):
            pick = balancer.pick([fleet.directory.get(silent.name)], last_resort=True)
            pick.service.size = 2
            pick.done(Outcome.TIMED_OUT, fleet.clock())
        assert silent.name in balancer.avoided
        fleet.clock.now += 2
        await read(session)
        await eventually(lambda: silent.hits == 1, "the probe's connection")


def suspect(fleet, *served):
    """Let the records of *served* vanish together; they become suspects."""
    fleet.directory.guard = Guard(share=0.0, least=1)
    for each in served:
        fleet.directory.remove(each.name)
        assert fleet.directory.get(each.name).suspect


async def test_suspects_that_refuse_connections_are_dropped_without_a_call(fleet):
    """One whose process runs stays, as does one that has stopped: its connections are accepted."""
    good, alive, stopped = await fleet.serve(), await fleet.serve(), fleet.fake()
    dead = [fleet.refuse() for _ in range(20)]
    async with fleet.session() as session:
        await read(session)
        stopped.peer.hang()
        suspect(fleet, alive, stopped, *dead)
        await eventually(lambda: fleet.directory.names() == {good.name, alive.name, stopped.name})
    assert not probes()


async def test_suspects_of_services_that_are_not_called_are_left_alone(fleet):
    """Thousands of clients would otherwise connect to all of them when a registry has lost its data."""
    await fleet.serve()
    others = [fleet.refuse("prices") for _ in range(20)]
    async with fleet.session() as session:
        await read(session)
        suspect(fleet, *others)
        assert not probes()


async def test_few_suspects_are_checked_at_a_time_and_none_any_more_after_the_client_is_closed(fleet):
    await fleet.serve()
    dead = [fleet.refuse() for _ in range(20)]
    async with fleet.session() as session:
        await read(session)
        suspect(fleet, *dead)
        assert len(probes()) == 8
        await fleet.client.aclose()
    assert not probes()
    assert len(fleet.directory.guard.suspects) == 20


async def test_a_suspect_whose_record_is_back_is_not_checked(fleet):
    await fleet.serve()
    dead = [fleet.refuse() for _ in range(20)]
    async with fleet.session() as session:
        await read(session)
        records = [fleet.directory.get(each.name) for each in dead]
        suspect(fleet, *dead)
        for each in records:
            fleet.directory.put(Record(each.name, each.data, each.sequence))
        await eventually(lambda: not probes())
    assert fleet.directory.names() >= {each.name for each in dead}


def probes():
    return [each for each in asyncio.all_tasks() if each.get_name() == "peerage: probe"]
