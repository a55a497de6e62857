"""Nodes outside of the folder of records that are kept by a registry's session."""

import asyncio

import pytest
from tests.asab.zookeeper.sessions import session_of
from tests.backends.zookeeper.support import bare_client, cut_off, folder_of

from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing

call = asyncio.to_thread


@pytest.fixture
async def other(server):
    """A client that reads the nodes."""
    async with bare_client(server.address) as client:
        yield client


def below(url: str, path: str) -> str:
    """A path below the registry's."""
    return folder_of(url).replace("/run", path)


async def data_in(client, folder: str) -> dict[str, bytes]:
    names = await call(client.get_children, folder)
    return {name: (await call(client.get, f"{folder}/{name}"))[0] for name in names}


@pytest.mark.parametrize("prefix", ["thing.", "thing", ""])
async def test_a_node_anywhere(url, other, prefix):
    """Its name gets ten digits; it is updated and withdrawn as a record."""
    folder = below(url, "/elsewhere/deep")
    async with closing(open_registry(url)) as (registry,):
        one = session_of(registry).advertise(f"{folder[1:]}/{prefix}", b"1")
        two = session_of(registry).advertise(f"{folder[1:]}/{prefix}", b"1")
        names = [await one.registered(), await two.registered()]
        assert sorted(names) == [f"{prefix}0000000000", f"{prefix}0000000001"]
        one.update(b"x" * 100_000)
        assert await one.registered() == names[0]
        assert await data_in(other, folder) == {names[0]: b"x" * 100_000, names[1]: b"1"}
        assert (await call(other.exists, f"{folder}/{names[0]}")).ephemeralOwner
        await one.withdraw()
        assert set(await data_in(other, folder)) == {names[1]}
    assert await data_in(other, folder) == {}


async def test_a_node_in_the_folder_of_records_is_a_record(url):
    """Watchers see it, whatever its name."""
    async with closing(open_registry(url)) as (registry,), View(registry) as view:
        await session_of(registry).advertise(f"{folder_of(url)[1:]}/nodot", b"{}").registered()
        await view.until_data([b"{}"])
        assert list(view.data) == ["nodot0000000000"]


async def test_the_next_session_creates_the_node_again(url, through, proxy, other):
    """Once, and apart from a record of the same name."""
    folder = below(url, "/elsewhere")
    async with closing(open_registry(through)) as (registry,), View(registry) as view:
        there = session_of(registry).advertise(f"{folder[1:]}/Same.", b"there")
        here = registry.advertise("Same", b"here")
        assert await there.registered() == await here.registered() == "Same.0000000000"
        await cut_off(proxy, registry)
        await proxy.heal()
        await proxy.expire_sessions()
        await view.until(lambda: list(view.data) == ["Same.0000000001"], "the record of the next session")
        await eventually(lambda: there.name == "Same.0000000001", "the node of the next session")
        assert await data_in(other, folder) == {"Same.0000000001": b"there"}


async def test_a_node_removed_by_others_is_created_again(url, other):
    """It is watched as records are, and isn't mistaken for a record of the same name."""
    folder = below(url, "/elsewhere")
    async with closing(open_registry(url)) as (registry,):
        here = registry.advertise("Same", b"here")
        there = session_of(registry).advertise(f"{folder[1:]}/Same.", b"there")
        node = await there.registered()
        assert await here.registered() == node
        await eventually(lambda: there._watched, "the watch on it")
        await call(other.delete, f"{folder}/{node}")
        await eventually(lambda: there.name not in {None, node}, "another node")
        assert here.name == node


@pytest.mark.parametrize("path", ["a//b", "a/../b", "zookeeper/x", "a\0", 1000 * "a"])
async def test_impossible_paths(url, path):
    """They are refused before anything is sent."""
    async with closing(open_registry(url)) as (registry,):
        with pytest.raises(RegistryDeniedError, match="Write an absolute path"):
            session_of(registry).advertise(path, b"")


async def test_impossible_sizes(url):
    """A server refuses more; in the folder of records the limit of records holds."""
    async with closing(open_registry(url)) as (registry,):
        with pytest.raises(RegistryDeniedError, match="at most 1000000"):
            session_of(registry).advertise("a", bytes(1_000_001))
        with pytest.raises(RegistryDeniedError, match="at most 65536"):
            session_of(registry).advertise(f"{folder_of(url)[1:]}/a", bytes(65_537))
        there = session_of(registry).advertise(below(url, "/a")[1:], bytes(1_000_000))
        await there.registered()
        with pytest.raises(RegistryDeniedError, match="write less into it"):
            there.update(bytes(1_000_001))
    with pytest.raises(RegistryClosedError):
        session_of(registry).advertise("a", b"")
