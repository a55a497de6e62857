"""Avoided instances are tried in the background."""

import asyncio
import resource
import ssl

import pytest
import trustme
from aiohttp import web

from peerage.balancing import Outcome
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
            probes = (each for each in asyncio.all_tasks() if each.get_name() == "peerage: probe")
            await asyncio.gather(*probes)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert not balancer.observer.counts().probes_failed


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
