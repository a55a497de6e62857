"""Several workers of one server are one instance to the original and to the command."""

import os
import signal

import pytest
from tests.integrations.servers import SERVERS, serving
from tests.integrations.test_workers import finding
from tests.interop.original import original
from tests.interop.test_calls import found

from peerage.testing.children import STRICT, run
from peerage.testing.zookeeper.server import free_port


async def listed(url):
    """Return the instances of the service that `peerage ls` shows, beside what they supersede."""
    async with run(*STRICT, "-m", "peerage", "ls", "--registry", url) as command:
        code, output = await command.end()
    assert code == 0
    return [
        line.split()[1]
        for line in output.splitlines()
        if line.startswith("worker ") and " superseded " not in line
    ]


@pytest.mark.long
async def test_four_workers_are_one_instance(tmp_path, zookeeper, path, url):
    """Also when the one was killed whose record stays in ZooKeeper for a while."""
    port = free_port()
    server = SERVERS["uvicorn with 4 workers"]
    server = server._replace(command=(*server.command, "--host=0.0.0.0"))

    async def located():
        return await peer.tell("locate", {"service_id": "worker"})

    async with (
        original(zookeeper.address, path, SERVICE_ID="caller", INSTANCE_ID="caller-1") as peer,
        finding(url) as ours,
        serving(server, tmp_path, port=port, PEERAGE_REGISTRY=url),
    ):
        leader = await ours.new_leader()
        await found(located, "the service isn't found")
        assert [each.rpartition(":")[2] for each in await located()] == [str(port)]
        status, answer = await peer.tell("get", "http://worker.service_id.asab/work")
        assert (status, "worker-0" in answer) == (200, True)
        assert await listed(url) == ["worker-0"]
        os.kill(leader, signal.SIGKILL)
        await ours.new_leader(leader)
        assert await listed(url) == ["worker-0"]
        assert [each.rpartition(":")[2] for each in await located()] == [str(port)]
        status, _ = await peer.tell("get", "http://worker.service_id.asab/work")
        assert status == 200
