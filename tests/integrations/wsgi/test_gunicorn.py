"""A Flask program under gunicorn: one instance, whichever worker lives, and no failed call at its end."""

import os
import re
import signal
import sys

import pytest
from tests.integrations.wsgi.programs import FLASK, PRELOAD, WORKERS, gunicorn
from tests.restarts import RESTARTS, restarted, sending
from tests.web.programs import environ

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.children import run

URL = "http://worker.service_id.asab/work?takes=0.01"
WORKER = (("service_id", "worker"),)


@pytest.fixture
def registry(tmp_path):
    return environ(tmp_path, "")["PEERAGE_REGISTRY"]


@pytest.fixture
async def discovery(registry):
    async with Discovery(registry) as discovery:
        yield discovery


def found(discovery):
    return discovery.directory.find(WORKER)


async def listed(folder):
    """The rows that ``peerage ls`` prints."""
    async with run(sys.executable, "-m", "peerage", "ls", environ=environ(folder, "")) as child:
        code, printed = await child.end()
        assert code == 0, child.log
    return printed.splitlines()[1:]


def leaders(server):
    """The workers that have advertised, as the log says, and the names of their records."""
    return re.findall(r"^(\d+) Advertised as (\S+)", server.log, re.MULTILINE)


async def test_it_is_one_instance_until_it_drains(tmp_path, discovery):
    """Found by its name at the port that gunicorn has; at SIGTERM it drains before gunicorn stops."""
    async with (
        gunicorn(FLASK, tmp_path, "worker-0", "--workers", "2", TEST_LAME_DUCK="3") as server,
        discovery.session() as session,
    ):
        (instance,) = await eventually(lambda: found(discovery), "the instance")
        assert instance.instance_id == "worker-0"
        async with session.post(URL, data=b"x") as response:
            assert (await response.json())["who"] == "worker-0"
        server.terminate()
        await eventually(lambda: [each.state for each in found(discovery)] == ["draining"], "draining")
        async with session.post(URL, data=b"x") as response:
            assert response.status == 200
        await eventually(lambda: not found(discovery), "its end")
        assert (await server.end())[0] == 0, server.log


@pytest.mark.long
@pytest.mark.parametrize("how", ["sync", "preload"])
async def test_it_is_there_while_any_worker_lives(tmp_path, discovery, how):
    """One row of ``peerage ls``, with the same names, also after the worker that advertised was killed."""
    options = ("--workers", "2", *PRELOAD) if how == "preload" else ("--worker-class", how, *WORKERS[how])
    async with gunicorn(FLASK, tmp_path, "worker-0", *options) as server:
        for number in range(1, 4):
            await eventually(lambda number=number: len(leaders(server)) == number, "the next leader")
            pid, record = leaders(server)[-1]
            await eventually(lambda record=record: [each.name for each in found(discovery)] == [record])
            (row,) = await listed(tmp_path)
            assert row.split()[:2] == ["worker", "worker-0"]
            os.kill(int(pid), signal.SIGKILL)


@pytest.mark.long
@pytest.mark.parametrize("kind", WORKERS)
async def test_no_call_fails_in_restarts(tmp_path, registry, kind):
    """Each restart ends with SIGTERM, under GETs and POSTs."""

    def start(instance, port):
        return gunicorn(FLASK, tmp_path, instance, "--worker-class", kind, *WORKERS[kind], port=port)

    assert (await restarted(registry, URL, start)).failed == []


@pytest.mark.long
async def test_no_call_fails_while_workers_are_replaced(tmp_path, discovery):
    """At SIGHUP: old workers serve and advertise until the new ones have loaded the application."""

    def replaced(before):
        assert [each.state for each in found(discovery)] == [None]
        return len(leaders(server)) > before

    def loaded():
        return server.log.count("The application is loaded")

    options = "--worker-class", "gthread", *WORKERS["gthread"]
    async with gunicorn(FLASK, tmp_path, "worker-0", *options) as server, discovery.session() as session:
        await eventually(lambda: found(discovery), "the instance")
        (tmp_path / "slow").touch()
        async with sending(session, URL) as load:
            for number in range(1, RESTARTS + 1):
                await load.some(20)
                # A worker that gets the signal while it loads the application just ends.
                await eventually(lambda number=number: loaded() == 2 * number, "both workers")
                before = len(leaders(server))
                server.signal(signal.SIGHUP)
                await eventually(lambda before=before: replaced(before), "the next leader")
                await eventually(
                    lambda: server.log.count("is replaced") % 2 == 0, "the end of the old workers"
                )
            await load.some(20)
    assert load.failed == []


@pytest.mark.long
async def test_no_call_fails_while_the_only_worker_is_replaced(tmp_path, zookeeper):
    """It ends after as many requests as gunicorn was told; its record stays until the next one advertises."""
    options = "--worker-class", "gthread", "--threads", "4", "--max-requests", "100"
    url = f"zookeeper://{zookeeper.address}/{tmp_path.name}"
    async with (
        gunicorn(FLASK, tmp_path, "worker-0", *options, PEERAGE_REGISTRY=url) as server,
        Discovery(url) as discovery,
        discovery.session() as session,
    ):
        await eventually(lambda: found(discovery), "the instance")
        known = []
        unsubscribe = discovery.directory.subscribe(lambda _: known.append(len(found(discovery))))
        async with sending(session, URL, rate=50) as load:
            await load.some(350)
        unsubscribe()
        assert len(leaders(server)) >= 3
    assert load.failed == []
    assert min(known) > 0


async def test_at_sigint_it_stops_at_once(tmp_path, discovery):
    """As gunicorn does, and its record is withdrawn, not lost."""
    async with gunicorn(FLASK, tmp_path, "worker-0", "--workers", "2", TEST_LAME_DUCK="60") as server:
        await eventually(lambda: found(discovery), "the instance")
        server.signal(signal.SIGINT)
        assert (await server.end())[0] == 0, server.log
    await eventually(lambda: not found(discovery), "its end")
    assert "Withdrawn" in server.log


async def test_preloading_needs_the_hook(tmp_path):
    """Without it, gunicorn doesn't start, and the message says what to add."""
    async with gunicorn(FLASK, tmp_path, "worker-0", "--preload") as server:
        code, _ = await server.end()
    assert code != 0
    assert "--config python:peerage.integrations.gunicorn" in server.log
