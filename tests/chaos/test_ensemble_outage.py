"""All servers of the registry are killed, and services go on, are deployed meanwhile, and are found again.

By default for a few seconds; ``CHAOS_OUTAGE=60`` sets another time, and then everything must be visible
within a second after the servers are back.
"""

import asyncio
import logging
import os
import time
from contextlib import AsyncExitStack
from typing import Final

import pytest
from tests.chaos.ensemble import SERVICES, ChaosCluster
from tests.chaos.outcomes import caught_up, failed, summary

from peerage.testing import eventually
from peerage.testing.simulation.checker import Promises, check
from peerage.testing.simulation.trace import REGISTRY, CallBegan, Handled

pytestmark = [pytest.mark.ensemble, pytest.mark.long, pytest.mark.alone]

log = logging.getLogger(__name__)

OUTAGE: Final = float(os.environ.get("CHAOS_OUTAGE", "8"))

#: A machine that is busy reacts later than is promised, so that time isn't what the default tests.
REACTION: Final = 1.0 if "CHAOS_OUTAGE" in os.environ else 5.0

PROMISES: Final = Promises(session_timeout=3.0, reaction=REACTION)


async def test_all_servers_are_killed(tmp_path, ensemble):
    """No call fails; an instance and a caller that are deployed meanwhile start from disk, serve and call."""
    traces, caches = tmp_path / "traces", tmp_path / "caches"
    traces.mkdir()
    caches.mkdir(mode=0o700)
    async with AsyncExitStack() as stack:
        cluster = ChaosCluster(
            stack, traces, ensemble, None, session_timeout=PROMISES.session_timeout, disk_cache=caches
        )
        await cluster.start()

        def all_saved() -> bool:
            # One for each set of proxies.
            saved = [each.read_bytes() for each in caches.glob("peerage-*/*.cache")]
            wanted = [
                f"{name}-{number}" for name, count in SERVICES.items() for number in range(1, count + 1)
            ]
            return len(saved) == 2 and all(each.encode() in content for content in saved for each in wanted)

        await eventually(all_saved, "everything in the disk caches")
        begin = time.monotonic()
        number = cluster.begin("outage", (REGISTRY,))
        for server in ensemble.servers:
            server.kill()
        # The length of the outage is what is tested.
        await asyncio.sleep(OUTAGE / 2)
        for name in ("stock-2", "shop-2"):
            await cluster.deploy(cluster.members[name])
        await asyncio.sleep(max(0.0, begin + OUTAGE - time.monotonic()))
        for server in ensemble.servers:
            server.launch()
        for server in ensemble.servers:
            await asyncio.to_thread(server.wait)
        back = time.monotonic()
        cluster.end(number)
        await asyncio.sleep(PROMISES.settling + 0.3)
        trace = await cluster.finish()
    violations, late = check(trace, PROMISES), caught_up(trace, back)
    log.info("%s; all visible %.2f s after the return", summary(["outage"], trace, back - begin), late)
    assert not violations, "\n".join(map(str, violations))
    assert not failed(trace)
    assert late <= REACTION
    # The new instance served, and the new caller called, while the registry was away.
    for process, kind in (("stock-2.2", Handled), ("shop-2.2", CallBegan)):
        assert any(isinstance(each, kind) and each.process == process and each.at < back for each in trace)
