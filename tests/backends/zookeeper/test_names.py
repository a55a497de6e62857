"""The name of a server gets another address: a container that moved, a changed DNS entry."""

import asyncio
import socket

import pytest

from peerage import open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import ZooKeeperServer

NAME = "zookeeper.example"

#: Seconds until the new address is found: one or two, and as much again for a machine under load.
FINDING = 4.0


class Names:
    """Answers before the system's resolver does: a test doesn't change the names of the machine."""

    def __init__(self) -> None:
        self.meaning: dict[str, str | None] = {}
        """Which name to ask for in whose place; None: there is no such name."""
        self.asked: list[str] = []
        self._resolve = socket.getaddrinfo

    def look_up(self, host, *arguments, **options):
        self.asked.append(host)
        name = self.meaning.get(host, host)
        if name is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._resolve(name, *arguments, **options)


@pytest.fixture
def names(monkeypatch):
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    return names


async def test_a_server_that_moves_is_found_again(tmp_path, names):
    """Its clients reconnect at the new address with their sessions; none has to be restarted."""
    names.meaning[NAME] = "127.0.0.2"
    with ZooKeeperServer(tmp_path, options={"clientPortAddress": "0.0.0.0"}) as server:
        url = f"zookeeper://{NAME}:{server.port}/asab?session_timeout=4"
        async with closing(open_registry(url)) as (registry,), View(registry) as view:
            owner = await registered(registry, "App", b"{}")
            node = owner.name
            await view.until_data([b"{}"])
            assert (await registry.inspect()).server == f"127.0.0.2:{server.port}"
            names.meaning[NAME] = "127.0.0.1"
            server.kill()
            await view.until(lambda: view.stale)
            server.launch()
            await asyncio.to_thread(server.wait)
            async with asyncio.timeout(FINDING):
                await view.until(lambda: view.stale is None)
            assert (await registry.inspect()).server == f"127.0.0.1:{server.port}"
            assert await owner.registered() == node


@pytest.mark.parametrize("at_first", ["127.0.0.2", None])
async def test_a_name_is_looked_up_at_each_attempt(server, names, at_first):
    """A name that is wrong when a service starts is used as soon as it is right."""
    names.meaning[NAME] = at_first
    url = f"zookeeper://nowhere.{NAME}:1,{NAME}:{server.port}/asab?session_timeout=4"
    names.meaning[f"nowhere.{NAME}"] = None
    async with closing(open_registry(url)) as (registry,), View(registry) as view:
        # The second attempt begins when the first has ended.
        await eventually(lambda: names.asked.count(NAME) > 1)
        await view.until(lambda: view.stale)
        names.meaning[NAME] = "127.0.0.1"
        async with asyncio.timeout(FINDING):
            await view.until(lambda: view.ready)
        assert (await registry.inspect()).server == server.address
