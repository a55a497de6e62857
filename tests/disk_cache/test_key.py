"""The cluster's key on disk: who asked for it starts without the registry, and others have no such file."""

import itertools
import stat
from configparser import ConfigParser
from contextlib import AsyncExitStack

import pytest
from tests.backends.zookeeper.support import bare_client

from peerage import ConfigurationError, Discovery, open_registry
from peerage.asab.zookeeper.discovery import ContainerDiscovery
from peerage.auth import PrivateKey
from peerage.registry import KEY_NAME
from peerage.testing import eventually
from peerage.testing.zookeeper import Proxy

numbers = itertools.count()


class Cluster:
    """A real server behind a proxy, and a cluster of its own there."""

    def __init__(self, stack, proxy, parent):
        self.stack = stack
        self.proxy = proxy
        self.parent = parent
        self.root = f"/key-{next(numbers)}"
        self.url = f"zookeeper://{proxy.address}{self.root}/run?acl=open"

    async def discovery(self, **options):
        discovery = Discovery(self.url, disk_cache=self.parent, service_id="orders", **options)
        discovery.key_root = self.root
        await self.stack.enter_async_context(discovery)
        return discovery

    async def token(self, discovery):
        return await discovery.auth.cluster_tokens().token()

    def files(self, pattern="*"):
        return list(self.parent.glob(f"peerage-*/{pattern}"))

    async def saved(self):
        """Let one process save the key, and return its token and the file; the registry is gone then."""
        discovery = await self.discovery(disk_cache_key=True)
        token = await self.token(discovery)
        (file,) = await eventually(lambda: self.files("*.key"))
        await self.proxy.refuse()
        await discovery.membership.wait_stale()
        return token, file


@pytest.fixture
async def cluster(zookeeper, parent):
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(zookeeper.address))
        yield Cluster(stack, proxy, parent)


async def test_tokens_are_sent_and_accepted_after_a_start_without_the_registry(cluster, caplog):
    """The file is private, and the log says where the key is from."""
    token, file = await cluster.saved()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    started = await cluster.discovery(disk_cache_key=True)
    verifier = started.auth.verifier()
    assert await cluster.token(started)
    assert (await verifier.verify(token)).superuser
    assert any("is the one that was saved on disk" in each for each in caplog.messages)


async def test_the_key_of_the_registry_replaces_the_one_on_disk(cluster, zookeeper):
    """Once it is back; tokens of the old one are accepted for a while, as always."""
    token, file = await cluster.saved()
    started = await cluster.discovery(disk_cache_key=True)
    verifier = started.auth.verifier()
    before = await cluster.token(started)
    content = file.read_bytes()
    async with bare_client(zookeeper.address) as other:
        other.set(f"{cluster.root}{KEY_NAME}", PrivateKey.generate().write())
    await cluster.proxy.start()

    async def replaced():
        return await cluster.token(started) != before

    await eventually(replaced)
    assert (await verifier.verify(token)).superuser
    await eventually(lambda: file.read_bytes() != content)


async def test_a_damaged_file_is_ignored(cluster, caplog):
    """As that of the records is."""
    _, file = await cluster.saved()
    file.write_bytes(file.read_bytes()[:-1])
    started = await cluster.discovery(disk_cache_key=True)
    started.auth.cluster_tokens().refresh()
    await eventually(lambda: any("isn't used: it is damaged" in each for each in caplog.messages))
    assert started.auth.cluster_tokens().unavailable() is not None


@pytest.mark.parametrize("value", ["yes", "perhaps"])
async def test_a_program_of_asab_configures_it(value):
    config = ConfigParser()
    config.read_string(f"[discovery]\ndisk_cache_key = {value}\n")
    registry = open_registry("zookeeper://127.0.0.1:1/asab")
    if value == "yes":
        assert ContainerDiscovery(registry, config)._disk_cache_key
    else:
        with pytest.raises(ConfigurationError, match="write yes or no"):
            ContainerDiscovery(registry, config)
    await registry.aclose()


async def test_no_key_is_saved_unless_it_is_wanted(cluster):
    discovery = await cluster.discovery()
    await discovery.advertise(port=1)
    assert await cluster.token(discovery)
    await eventually(lambda: cluster.files("*.cache"))
    assert not cluster.files("*.key")
