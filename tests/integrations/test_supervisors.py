"""Servers with several workers and a supervisor: hypercorn and granian."""

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.integrations.servers import SERVERS, serving
from tests.web.programs import environ

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.children import run
from peerage.testing.zookeeper.server import free_port

URL = "http://worker.service_id.asab/work"

PLAIN = """
import json, os

JSON = (b"content-type", b"application/json")

async def plain(scope, receive, send):
    # It answers whatever comes, also the lifespan.
    body = json.dumps({"pid": os.getpid()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
    await send({"type": "http.response.body", "body": body})

from peerage.integrations.asgi import discovered

app = discovered(plain, lame_duck=0.1)
"""

LITESTAR = """
import os
from litestar import Litestar, get

@get("/work", sync_to_thread=False)
def work() -> dict[str, int]:
    return {"pid": os.getpid()}

from peerage.integrations.asgi import discovered

app = discovered(Litestar([work], logging_config=None), lame_duck=0.1)
"""


class Caller:
    """A client in the same registry."""

    def __init__(self, discovery, session):
        self.session = session
        self._discovery = discovery

    def found(self):
        return self._discovery.directory.find((("service_id", "worker"),))

    def states(self):
        return [each.state for each in self.found()]

    def leader(self):
        """Return the id of the process that has advertised the instance; None while none is found."""
        return next((each.record()["process_id"] for each in self.found()), None)

    async def ask(self, takes=0):
        """Return the id of the process that has answered."""
        async with self.session.get(URL, params={"takes": takes}) as response:
            assert response.status == 200
            return (await response.json())["pid"]

    async def workers(self, number):
        """Wait until so many workers answer, each to a connection of its own."""
        seen = set()

        async def all_seen():
            async with self.session.get(URL, headers={"Connection": "close"}) as response:
                seen.add((await response.json())["pid"])
            return len(seen) >= number

        await eventually(all_seen, f"{number} workers")


@asynccontextmanager
async def calling(folder):
    async with (
        Discovery(environ(folder, "")["PEERAGE_REGISTRY"]) as discovery,
        discovery.session() as session,
    ):
        yield Caller(discovery, session)


@pytest.mark.parametrize(
    ("server", "application"),
    [
        pytest.param("granian", PLAIN, id="granian, plain"),
        pytest.param("hypercorn", PLAIN, id="hypercorn, plain", marks=pytest.mark.long),
        pytest.param("granian", LITESTAR, id="granian, Litestar", marks=pytest.mark.long),
        pytest.param("hypercorn", LITESTAR, id="hypercorn, Litestar", marks=pytest.mark.long),
    ],
)
async def test_applications_of_other_frameworks_are_found_and_end(tmp_path, server, application):
    """Litestar's, and one that knows no lifespan."""
    async with (
        serving(SERVERS[server], tmp_path, port=free_port(), application=application) as child,
        calling(tmp_path) as caller,
    ):
        await eventually(lambda: caller.states() == [None], "the instance")
        assert await caller.ask() == caller.leader()
        child.terminate()
        assert (await child.end())[0] == 0, child.log
        await eventually(lambda: caller.states() == [])


@pytest.mark.long
@pytest.mark.parametrize("server", ["granian with 4 workers", "hypercorn with 4 workers"])
async def test_workers_are_one_instance_which_drains_at_a_signal_to_all_processes(tmp_path, server):
    """As systemd sends it; a request under way is answered, whichever worker has it."""
    async with (
        serving(SERVERS[server], tmp_path, port=free_port(), TEST_LAME_DUCK="1") as child,
        calling(tmp_path) as caller,
        asyncio.TaskGroup() as tasks,
    ):
        await eventually(lambda: caller.states() == [None], "the instance")
        await caller.workers(4)
        variables = environ(tmp_path, "caller")
        async with run(sys.executable, "-m", "peerage", "ls", "--json", environ=variables) as listing:
            (row,) = json.loads((await listing.end())[1])
        assert row["record"]["instance_id"] == "worker-0"
        slow = [tasks.create_task(caller.ask(5)) for _ in range(8)]
        await caller.ask()
        child.signal_group(signal.SIGTERM)
        await eventually(lambda: caller.states() == ["draining"])
        await eventually(lambda: caller.states() == [])
        assert not any(each.done() for each in slow)
        await asyncio.gather(*slow)
        assert (await child.end())[0] == 0, child.log
    assert "Traceback" not in child.log


@pytest.mark.long
async def test_when_the_worker_that_leads_is_killed_another_one_leads(tmp_path):
    """Under granian, if it is told to replace workers that fail; otherwise it ends."""
    server = SERVERS["granian with 4 workers"]
    server = server._replace(command=(*server.command, "--respawn-failed-workers"))
    async with serving(server, tmp_path, port=free_port()) as child, calling(tmp_path) as caller:
        await eventually(caller.leader, "the leader")
        await caller.workers(4)
        killed = caller.leader()
        os.kill(killed, signal.SIGKILL)
        await eventually(caller.leader, "another leader", wanted=lambda pid: pid not in {None, killed})
        assert [each.instance_id for each in caller.found()] == ["worker-0"]
        # Granian itself loses a signal that comes while a worker starts.
        await caller.workers(4)
        child.terminate()
        assert (await child.end())[0] == 0, child.log


@pytest.mark.long
async def test_a_worker_that_has_had_its_number_of_requests_drains(tmp_path):
    """Hypercorn itself closes connections at once, on which a request may be on its way."""
    server = SERVERS["hypercorn"]
    server = server._replace(command=(*server.command, "--max-requests=40"))
    address = f"http://127.0.0.1:{(port := free_port())}"
    async with (
        serving(server, tmp_path, port=port, TEST_LAME_DUCK="1000"),
        calling(tmp_path) as caller,
        aiohttp.ClientSession(address) as idle,
    ):
        await eventually(caller.leader, "the leader")
        async with idle.get("/work") as response:
            worker = (await response.json())["pid"]
        for _ in range(40):
            await caller.ask()
        await eventually(lambda: caller.states() == ["draining"])
        async with idle.post("/work") as response:
            assert (await response.json())["pid"] == worker
            assert response.headers["Connection"] == "close"


@pytest.mark.long
@pytest.mark.parametrize("server", ["granian with 4 workers", "hypercorn with 4 workers"])
async def test_when_the_supervisor_is_killed_the_workers_are_found(tmp_path, server):
    """They go on serving, until they get a signal themselves: then they drain."""
    async with (
        serving(SERVERS[server], tmp_path, port=free_port(), TEST_LAME_DUCK="1") as child,
        calling(tmp_path) as caller,
    ):
        await eventually(caller.leader, "the leader")
        await caller.workers(4)
        child.kill()
        await eventually(lambda: child.returncode == -signal.SIGKILL)
        await caller.workers(4)
        assert caller.states() == [None]
        child.signal_group(signal.SIGTERM)
        await eventually(lambda: caller.states() == ["draining"])
        await eventually(lambda: caller.states() == [])


@pytest.mark.long
async def test_servers_at_one_port_of_several_addresses_are_instances_of_their_own(tmp_path):
    """Also if their names are made from where they listen."""
    port, server = free_port(), SERVERS["hypercorn"]
    other = server._replace(command=(*server.command, "--bind=127.0.0.2:{port}"))
    other = other._replace(command=tuple(part for part in other.command if "127.0.0.1" not in part))
    nameless = PLAIN.replace("import json, os", "import json, os; del os.environ['INSTANCE_ID']", 1)
    async with (
        serving(server, tmp_path, port=port, application=nameless),
        serving(other, tmp_path, port=port, application=nameless),
        calling(tmp_path) as caller,
    ):
        await eventually(lambda: caller.states() == [None, None], "both instances")
        names = {each.instance_id.removeprefix(f"worker-{each.host}-") for each in caller.found()}
        assert names == {f"{port}", f"127-0-0-2-{port}"}


@pytest.mark.long
async def test_all_addresses_of_a_server_are_found_with_their_scheme(tmp_path):
    """Hypercorn can listen at several, of which some speak TLS."""
    import trustme

    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    port, plain = free_port(), free_port()
    server = SERVERS["hypercorn"]
    more = ("--bind=127.0.0.2:{port}", f"--insecure-bind=[::1]:{plain}", "--certfile=pem", "--keyfile=pem")
    server = server._replace(command=(*server.command, *more))
    async with serving(server, tmp_path, port=port) as child, calling(tmp_path) as caller:
        (instance,) = await eventually(caller.found, "the instance")
        assert set(instance.urls) == {
            f"https://127.0.0.1:{port}",
            f"https://127.0.0.2:{port}",
            f"http://[::1]:{plain}",
        }
        child.terminate()
        assert (await child.end())[0] == 0, child.log
