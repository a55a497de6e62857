"""Several workers of one server are one instance, whichever of them lives."""

import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.integrations.servers import APPLICATION, SERVERS, serving
from tests.restarts import sending
from tests.web.programs import environ

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.zookeeper.server import free_port

pytestmark = pytest.mark.long

URL = "http://worker.service_id.asab/work?takes=0.01"
_SERVICE = (("service_id", "worker"),)


class Finding:
    """Looks for the one instance."""

    def __init__(self, discovery):
        self.discovery = discovery

    def leader(self):
        """Return the process that advertises the only instance; None if that isn't there."""
        found = self.discovery.directory.find(_SERVICE)
        assert len(found) <= 1
        ready = [each for each in found if each.state is None]
        return ready[0].record()["process_id"] if ready else None

    async def new_leader(self, *before):
        """Wait for a process that advertises and is none of *before*."""
        return await eventually(self.leader, "a leader", wanted=lambda now: now and now not in before)


@asynccontextmanager
async def finding(registry):
    """A caller in *registry*."""
    async with Discovery(registry) as discovery:
        yield Finding(discovery)


async def workers(session, number):
    """Wait until so many processes have answered, and return them."""
    seen = set()

    async def ask():
        async with session.get(URL, headers={"Connection": "close"}) as response:
            seen.add((await response.json())["pid"])

    while len(seen) < number:
        await ask()
    return seen


async def test_no_call_fails_when_a_worker_is_replaced(tmp_path):
    """The one that advertises, at SIGTERM. There is no other instance."""
    async with (
        finding(environ(tmp_path, "")["PEERAGE_REGISTRY"]) as found,
        serving(SERVERS["uvicorn with 4 workers"], tmp_path, port=free_port()),
        found.discovery.session() as session,
    ):
        leader = await found.new_leader()
        await workers(session, 2)
        async with sending(session, URL) as load:
            for _ in range(2):
                await load.some(20)
                os.kill(leader, signal.SIGTERM)
                leader = await found.new_leader(leader)
            await load.some(20)
    assert load.failed == []


async def test_no_call_fails_when_a_worker_has_had_its_requests(tmp_path):
    """Uvicorn replaces it without a signal."""
    server = SERVERS["uvicorn with 4 workers"]
    options = "--workers=2", "--limit-max-requests=100", "--limit-max-requests-jitter=200"
    server = server._replace(command=(*server.command, *options))
    async with (
        finding(environ(tmp_path, "")["PEERAGE_REGISTRY"]) as found,
        serving(server, tmp_path, port=free_port()),
        found.discovery.session() as session,
    ):
        leader = await found.new_leader()
        async with sending(session, URL) as load:
            await found.new_leader(leader)
            await load.some(20)
    assert load.failed == []


async def test_no_call_fails_when_gunicorn_replaces_its_workers(tmp_path):
    """At SIGHUP: an old worker serves and is found until a new one has loaded the application."""
    server = SERVERS["gunicorn with uvicorn's worker"]
    slow = f"import time; time.sleep(2)\n{APPLICATION}"
    async with (
        finding(environ(tmp_path, "")["PEERAGE_REGISTRY"]) as found,
        serving(server, tmp_path, port=free_port(), application=slow, TEST_LAME_DUCK="1") as supervisor,
        found.discovery.session() as session,
    ):
        leader = await found.new_leader()
        missing = []
        unsubscribe = found.discovery.directory.subscribe(lambda _: missing.append(not found.leader()))
        async with sending(session, URL) as load:
            await load.some(20)
            supervisor.signal(signal.SIGHUP)
            await found.new_leader(leader)
            await eventually(lambda: not Path(f"/proc/{leader}").exists(), "the end of the old one")
            await load.some(20)
        unsubscribe()
    assert load.failed == []
    assert missing
    assert not any(missing)


async def test_a_service_that_is_reloaded_is_found_again(tmp_path):
    """Under uvicorn, which keeps its socket meanwhile."""
    server = SERVERS["uvicorn"]
    server = server._replace(command=(*server.command, "--reload", "--reload-delay=0.05"))
    async with (
        finding(environ(tmp_path, "")["PEERAGE_REGISTRY"]) as found,
        serving(server, tmp_path, port=free_port()),
        found.discovery.session() as session,
    ):
        leader = await found.new_leader()
        (tmp_path / "service.py").write_text(APPLICATION.replace('"who":', '"after": 1, "who":'))
        await found.new_leader(leader)
        async with session.get(URL) as response:
            assert (await response.json())["after"] == 1
