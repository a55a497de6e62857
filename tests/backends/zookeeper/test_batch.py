"""How many nodes are read with one request."""

import asyncio

from tests.backends.zookeeper.support import bare_client

from peerage.backends.zookeeper.folder import LARGEST_BATCH, BatchSize
from peerage.registry import open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing
from peerage.testing.zookeeper import ZooKeeperServer


def test_each_loss_halves_it_down_to_one():
    batch = BatchSize()
    sizes = []
    while batch.size > 1:
        batch.lost()
        sizes.append(batch.size)
    batch.lost()
    assert sizes == [50, 25, 12, 6, 3, 1]
    assert batch.size == 1


def test_small_answers_double_it_and_large_ones_do_not():
    batch = BatchSize()
    batch.lost()
    batch.all_read(900_000)
    assert batch.size == LARGEST_BATCH // 2
    batch.all_read(1000)
    batch.all_read(1000)
    assert batch.size == LARGEST_BATCH


async def test_answers_that_a_server_has_no_memory_for(tmp_path):
    """A hundred nodes of 900 kB end a server that builds one answer of them; they are read all the same."""
    with ZooKeeperServer(tmp_path, jvm=["-Xmx400m", "-XX:+ExitOnOutOfMemoryError"]) as server:
        async with bare_client(server.address) as client:
            await asyncio.to_thread(client.ensure_path, "/large/run")
            for number in range(100):
                await asyncio.to_thread(client.create, f"/large/run/App.{number:010}", bytes(900_000))
        url = f"zookeeper://{server.address}/large?session_timeout=3"
        async with closing(open_registry(url)) as (registry,), View(registry) as view:
            ended = 0
            while not view.ready:
                await eventually(lambda: view.ready or not server.running)
                if not server.running:
                    ended += 1
                    server.kill()
                    await asyncio.to_thread(server.start)
            assert ended
