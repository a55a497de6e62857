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


def test_the_first_nodes_show_how_many_fit_into_one_answer():
    batch = BatchSize()
    batch.sampled(10, 10 * 800)
    assert batch.size == LARGEST_BATCH
    batch.sampled(10, 10 * 900_000)
    assert batch.size == 4
    batch.sampled(10, 10 * 9_000_000)
    assert batch.size == 1
    batch.sampled(10, 0)
    assert batch.size == 1


async def test_large_nodes_do_not_end_a_server(tmp_path):
    """A hundred nodes of 900 kB end a server of this size if it builds one answer of them."""
    with ZooKeeperServer(tmp_path, jvm=["-Xmx400m", "-XX:+ExitOnOutOfMemoryError"]) as server:
        async with bare_client(server.address) as client:
            await asyncio.to_thread(client.ensure_path, "/large/run")
            for number in range(100):
                await asyncio.to_thread(client.create, f"/large/run/App.{number:010}", bytes(900_000))
        url = f"zookeeper://{server.address}/large?session_timeout=3"
        async with closing(open_registry(url)) as (registry,), View(registry) as view:
            await eventually(lambda: view.ready or not server.running)
            assert server.running
