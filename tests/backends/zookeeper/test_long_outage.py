"""An outage of realistic length, observed by services in child processes."""

import asyncio
import json

import pytest
from tests.backends.programs import program
from tests.backends.zookeeper.support import agree, identity_of, located, never_empty

from peerage import Discovery
from peerage.testing import View
from peerage.testing.zookeeper import ZooKeeperServer

#: Seconds that the server is away.
OUTAGE = 20.0

SERVICE = """
import asyncio, sys
from peerage import Discovery
from peerage.records.identity import Identity

async def main():
    url, name, port = sys.argv[1:]
    identity = Identity(host="127.0.0.1", service_id="shop", instance_id=name)
    loop = asyncio.get_running_loop()
    async with Discovery(url, identity=identity) as discovery:
        registration = await discovery.advertise(port=int(port))
        print("advertised", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            registration.update(extra={"changed": line.strip()})
            print("changed", flush=True)
    print("left", flush=True)

asyncio.run(main())
"""


def instances(records: dict[str, bytes]) -> list[str]:
    """The instances that are known, with their numbers."""
    return sorted(json.loads(data)["instance_id"] for data in records.values())


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_twenty_seconds_without_a_server(tmp_path, caplog):
    """One stays, one is killed, one leaves, one changes, one joins: in the end all agree."""
    with ZooKeeperServer(tmp_path) as server:
        url = f"zookeeper://{server.address}/asab?session_timeout=5"
        async with (
            program(SERVICE, url, "stays", 9001) as stays,
            program(SERVICE, url, "killed", 9002) as killed,
            program(SERVICE, url, "leaves", 9003) as leaves,
            program(SERVICE, url, "changes", 9004) as changes,
            Discovery(url, identity=identity_of("watcher")) as discovery,
            View(discovery.registry) as view,
        ):
            for service in (stays, killed, leaves, changes):
                assert await service.line() == "advertised"
            own = await discovery.advertise(port=8080)
            await located(discovery, "shop", 4)
            node = await own.registered()
            await view.until(lambda: len(view.data) == 5)

            async with never_empty("shop", discovery):
                server.kill()
                await view.until(lambda: view.stale)
                over = asyncio.get_running_loop().time() + OUTAGE
                killed.kill()
                leaves.close_input()
                assert await leaves.line() == "left"
                await changes.tell("yes")
                assert await changes.line() == "changed"
                async with program(SERVICE, url, "late", 9005) as late:
                    assert await late.line() == "advertised"
                    assert instances(view.data) == ["changes", "killed", "leaves", "stays", "watcher-0"]
                    # The length of the outage is what is tested.
                    await asyncio.sleep(over - asyncio.get_running_loop().time())
                    await asyncio.to_thread(server.start)

                    expected = ["changes", "late", "stays", "watcher-0"]
                    await view.until(lambda: view.stale is None and instances(view.data) == expected)
                    true = await agree(url, view)
                    assert instances(true) == expected
                    changed = {json.loads(data)["instance_id"]: json.loads(data) for data in true.values()}
                    assert changed["changes"]["changed"] == "yes"
                    assert await own.registered() == node, "the session survived, and so did the record"
                    await located(discovery, "shop", 3)
        lines = [entry.getMessage() for entry in caplog.records]
        assert len(lines) == 2, lines
        assert lines[0].startswith("Out of touch"), lines
        assert " again after 2" in lines[1], lines
