"""Services of the original and ours call each other as themselves, over one ZooKeeper."""

import asyncio
import itertools
import json
import os
from functools import partial

import pytest
from tests.asab.auth.programs import CALLER, KEYS_URL, READER, asked, named, seacat
from tests.backends.zookeeper.support import bare_client

from peerage.auth import PrivateKey
from peerage.auth.cluster_tokens import KEY_NAME
from peerage.testing import eventually

_numbers = itertools.count()


@pytest.fixture
async def cluster(zookeeper):
    """A separate ZooKeeper for the test, by a chroot: the path of the key is the same for all programs."""
    root = f"/internal-{os.getpid()}-{next(_numbers)}"
    async with bare_client(zookeeper.address) as client:
        await asyncio.to_thread(client.ensure_path, root)
        yield client, root, {"TEST_SERVERS": f"{zookeeper.address}{root}", "TEST_PATH": "/asab"}


@pytest.fixture
def config(tmp_path):
    """Without quotes, which the original takes for a part of the name."""
    path = tmp_path / "service.conf"
    path.write_text(f"[auth]\npublic_keys_url={KEYS_URL}\n")
    return path


async def called(caller, name, path, **query):
    """Have it call a service by name."""
    return (await caller.get("/free", url=f"http://{name}.service_id.asab{path}", **query))[1]


@pytest.mark.parametrize("first", ["ours", "theirs", "older than kids"])
async def test_each_other(cluster, config, first):
    """Services are superusers to each other, whichever made the key; callers without it are not."""
    client, root, environ = cluster
    if first == "older than kids":
        key = json.loads(PrivateKey.generate().write())
        del key["kid"]
        await asyncio.to_thread(client.create, f"{root}{KEY_NAME}", json.dumps(key).encode(), makepath=True)
    order = [False, True] if first == "ours" else [True, False]
    sides = {False: "our", True: "their"}
    async with (
        seacat(environ),
        asked(CALLER, named(environ, f"{sides[order[0]]}-1"), config=config, original=order[0]) as one,
    ):
        # It has made the key, if there is none.
        ask = partial(called, one, sides[order[0]], "/root", auth="internal")
        await eventually(ask, wanted=lambda found: found == [200, "ruled"])
        written, _ = await asyncio.to_thread(client.get, f"{root}{KEY_NAME}")
        async with asked(
            CALLER, named(environ, f"{sides[order[1]]}-1"), config=config, original=order[1]
        ) as other:
            for caller, name in ((one, sides[order[1]]), (other, sides[order[0]])):
                ask = partial(called, caller, name, "/root", auth="internal")
                await eventually(ask, wanted=lambda found: found == [200, "ruled"])
                assert (await called(caller, name, "/root"))[0] == 401
                status, (issuer, token) = await called(caller, name, "/got", auth="internal")
                own = next(side for side in sides.values() if side != name)
                assert (status, issuer) == (200, f"http://{own}-1.instance_id.asab")
                assert token.startswith("Bearer ey")
            # A user's goes on in both directions as well.
            for caller, name in ((one, sides[order[1]]), (other, sides[order[0]])):
                url = f"http://{name}.service_id.asab/read"
                assert await caller.get("/call", READER, url=url) == (200, [200, "read"])
        assert (await asyncio.to_thread(client.get, f"{root}{KEY_NAME}"))[0] == written
