import asyncio
from types import SimpleNamespace

import pytest

from peerage.calling import WaitForInstance
from peerage.client.arrivals import Arrivals
from peerage.directory import Change
from peerage.errors import RegistryClosedError
from peerage.testing import begun, eventually

NAME = ("service_id", "orders")

ORDERS = "http://orders.service_id.asab/"


async def test_calls_that_wait_for_an_instance_go_on_in_the_order_in_which_they_began_to_wait():
    """None of them is passed by another one again and again."""
    directory = SimpleNamespace(targets=lambda *_: [object()])
    arrivals = Arrivals(
        SimpleNamespace(directory=directory), SimpleNamespace(open=True, filled=lambda _: None)
    )
    order = []

    async def call(number):
        await arrivals.wait(WaitForInstance(NAME, 60.0))
        order.append(number)

    calls = [await begun(call(number)) for number in range(50)]
    arrivals.changed(Change(None, SimpleNamespace(ids=(NAME,))))
    await asyncio.gather(*calls)
    assert order == [*range(50)]


async def test_a_call_that_waits_fails_when_the_client_is_closed(fleet):
    """Nothing is learned of others any more, and nothing is probed."""
    served, refusing = await fleet.serve(), fleet.refuse()
    async with fleet.session() as session:
        async with session.get(ORDERS) as response:
            assert response.status == 200
        fleet.directory.remove(served.name)
        waiting = asyncio.create_task(session.get(ORDERS))
        await eventually(lambda: refusing.name in fleet.client.balancer.avoided, "the call")
        fleet.clock.now += 2
        await eventually(lambda: fleet.client._arrivals._waiting, "the wait")
        await fleet.client.aclose()
        with pytest.raises(RegistryClosedError, match="waited for an instance"):
            await waiting
    assert not [each for each in asyncio.all_tasks() if each.get_name() == "peerage: probe"]
