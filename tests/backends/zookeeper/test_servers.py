"""Servers that don't answer, and a server that has lost its data."""

import asyncio
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.backends.zookeeper.support import connected, connection

from peerage.backends.zookeeper.dialing import Dialer
from peerage.registry import open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import ZooKeeperServer


@pytest.fixture
def dead_hosts() -> Iterator[list[str]]:
    """Two addresses that don't answer connection attempts, as a machine without power."""
    with ExitStack() as stack:
        addresses = []
        for _ in range(2):
            full = stack.enter_context(socket.socket())
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            addresses.append("{}:{}".format(*full.getsockname()))
            for _ in range(3):
                # These fill the backlog, so that later connection attempts get no answer.
                waiting = stack.enter_context(socket.socket())
                waiting.settimeout(0)
                waiting.connect_ex(full.getsockname())
        yield addresses


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts to which connections are tried, in order."""
    hosts: list[str] = []
    dial = Dialer.dial

    def take_note(self: Dialer, address: tuple[str, int], *rest: object) -> socket.socket:
        hosts.append("{}:{}".format(*address))
        return dial(self, address, *rest)

    monkeypatch.setattr(Dialer, "dial", take_note)
    return hosts


async def test_most_servers_are_dead(through, proxy, dead_hosts):
    """The live one is found in time, again and again: the session and its record survive."""
    url = through.replace(proxy.address, ",".join([*dead_hosts, proxy.address]))
    async with closing(open_registry(url)) as (here,):
        owner = await registered(here, "App", b"{}")
        node = owner.name
        for _ in range(4):
            up = connection(here).up
            proxy.cut()
            await eventually(lambda up=up: connection(here).up not in {None, up})
            assert await owner.registered() == node


@pytest.mark.parametrize("fault", ["cut", "expire_sessions"])
async def test_hosts_that_failed_are_tried_last(through, proxy, dead_hosts, dialled, fault):
    """After a lost connection or session, the server that answered is tried first."""
    url = through.replace(proxy.address, ",".join([*dead_hosts, proxy.address]))
    await proxy.refuse()
    async with closing(open_registry(url)) as (here,):
        owner = here.advertise("App", b"{}")
        await eventually(lambda: set(dead_hosts) <= set(dialled))
        await proxy.heal()
        node = await owner.registered()
        for _ in range(3):
            up, before = connection(here).up, len(dialled)
            if fault == "cut":
                proxy.cut()
                answers = 1
            else:
                await proxy.expire_sessions()
                answers = 2  # that the session is over, and another one
            await eventually(lambda up=up: connection(here).up not in {None, up})
            assert dialled[before : before + answers] == [proxy.address] * answers
            assert (await owner.registered() == node) == (fault == "cut")
            node = owner.name


@pytest.mark.parametrize("fault", ["hangs up", "refuses"])
async def test_there_are_pauses_between_attempts(through, proxy, dialled, fault):
    """Whether the server resets connections or refuses them."""
    async with closing(open_registry(through)) as (here,):
        await here.inspect()
        await connected(here)
        begin, before = time.monotonic(), len(dialled)
        if fault == "refuses":
            await proxy.refuse()
        else:
            connection(here).on_change.append(proxy.cut)
            proxy.cut()
        await eventually(lambda: len(dialled) >= before + 8)
        # The first pause is about 50 ms.
        assert time.monotonic() - begin > 8 * 0.03


async def test_a_server_that_lost_its_data(tmp_path):
    """Its clients begin again once their sessions are over, although it knows less than they do."""
    with ZooKeeperServer(tmp_path) as server:
        url = f"zookeeper://{server.address}/asab?session_timeout=2"
        async with closing(open_registry(url)) as (here,), View(here) as view:
            owners = [await registered(here, "App", b"%d" % number) for number in range(10)]
            await view.until(lambda: len(view.records) == 10)
            await asyncio.to_thread(server.kill)
            await view.until(lambda: view.stale)
            await asyncio.to_thread(shutil.rmtree, tmp_path / "data")
            await asyncio.to_thread(server.start)
            nodes = {await owner.registered() for owner in owners}
            await view.until(lambda: view.stale is None and set(view.records) == nodes)
