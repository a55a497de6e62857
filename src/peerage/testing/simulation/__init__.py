"""A simulated cluster: real code of peerage, aiohttp and yours in virtual time, on simulated hosts.

The check of what happened in it is :mod:`peerage.testing.simulation.checker`.

::

    world = World(seed=1)
    orders = world.host("orders")

    async def serve(host):
        await serve_app(make_app(), host.discovery(service_id="orders"), host=host.ip, port=8080)

    async def happens():
        orders.start(serve)
        await asyncio.sleep(3600)

    world.run(happens())
"""

from peerage.testing.simulation.loop import (
    DeadlockError,
    LivelockError,
    NotSimulatedError,
    SimulatedLoop,
)
from peerage.testing.simulation.network import Network
from peerage.testing.simulation.world import Host, World

__all__ = ["DeadlockError", "Host", "LivelockError", "Network", "NotSimulatedError", "SimulatedLoop", "World"]
