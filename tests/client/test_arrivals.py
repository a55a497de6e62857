import asyncio
from types import SimpleNamespace

from peerage.calling import WaitForInstance
from peerage.client.arrivals import Arrivals
from peerage.directory import Change
from peerage.testing import begun

NAME = ("service_id", "orders")


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
