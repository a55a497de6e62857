"""Closing a registry, and Ctrl-C: both return in time even when the server hangs."""

import asyncio
import signal

import pytest
from tests.backends.programs import program
from tests.backends.zookeeper.support import CLOSING

from peerage.registry import open_registry
from peerage.testing import View
from peerage.testing.harness import registered
from peerage.testing.zookeeper import ZooKeeperServer

PROGRAM = """
import asyncio, sys
from peerage import Discovery

async def main():
    async with Discovery(sys.argv[1]) as discovery:
        print("started", flush=True)
        await discovery.advertise(port=8080)
        print("advertised", flush=True)
        await asyncio.sleep(600)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("fault", ["black_hole", "refuse"])
@pytest.mark.parametrize("when", ["from the start", "later"])
async def test_closing_returns_in_time(through, proxy, fault, when):
    """With a server that accepts connections and never answers, or refuses them."""

    async def harm() -> None:
        if fault == "refuse":
            await proxy.refuse()
        else:
            proxy.black_hole()

    registry = open_registry(through)
    if when == "from the start":
        await harm()
        owner = registry.advertise("Owner", b"{}")
    else:
        owner = await registered(registry, "Owner", b"{}")
        await harm()
    async with View(registry) as view:
        if fault == "refuse":
            await view.until(lambda: view.stale)
        owner.update(b"[]")
        await asyncio.sleep(0)
        async with asyncio.timeout(CLOSING):
            await registry.aclose()
        await view.until(lambda: view.ended)


async def test_closing_with_a_suspended_server(tmp_path):
    """The server is stopped by SIGSTOP, before or after the connection was made."""
    with ZooKeeperServer(tmp_path) as server:
        url = f"zookeeper://{server.address}/asab?session_timeout=4"
        known = open_registry(url)
        await registered(known, "Owner", b"{}")
        server.suspend()
        new = open_registry(url)
        new.advertise("Owner", b"{}")
        for registry in (known, new):
            async with asyncio.timeout(CLOSING):
                await registry.aclose()


@pytest.mark.parametrize("fault", ["hangs from the start", "hangs", "refuses from the start", "refuses"])
async def test_an_interrupted_program_ends(through, proxy, fault):
    """On Ctrl-C, in any state of its registry, without warnings or tracebacks."""

    async def harm() -> None:
        if fault.startswith("refuses"):
            await proxy.refuse()
        else:
            proxy.black_hole()

    if fault.endswith("start"):
        await harm()
    async with program(PROGRAM, through) as process:
        assert await process.line() == "started"
        if not fault.endswith("start"):
            assert await process.line() == "advertised"
            await harm()
        process.signal(signal.SIGINT)
        code, _ = await process.end()
    assert code == 130, process.log
    for complaint in ("Traceback", "Exception ignored", "Warning"):
        assert complaint not in process.log, process.log
