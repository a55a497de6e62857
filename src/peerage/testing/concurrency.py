"""The contract under concurrency: whatever happens at the same time, watchers end with what is there."""

import asyncio
import random

from peerage.registry import Advertisement, Registry
from peerage.testing.harness import Harness, registered, requires
from peerage.testing.participant import Participant
from peerage.testing.view import View


class ConcurrencyTests:
    """Random operations from a fixed seed, so that a failure can be reproduced."""

    async def test_nothing_is_lost_while_others_write(self, here: Registry, there: Registry) -> None:
        """Watches begun in the middle of writing lose nothing between their snapshot and the changes."""
        writers = [
            asyncio.create_task(_write(random.Random(seed), (here, there)[seed % 2], f"w{seed}", 60))
            for seed in range(6)
        ]
        views: list[View] = []
        while not all(writer.done() for writer in writers):
            if len(views) < 12:
                views.append(View((here, there)[len(views) % 2]))
            await asyncio.sleep(0.002)
        left = [data for writer in writers for data in await writer]
        for view in views:
            await view.until_data(left)
            await view.aclose()

    @requires("processes")
    async def test_processes_that_die_in_the_middle(
        self, harness: Harness, here: Registry, there: Registry, view: View
    ) -> None:
        """Some processes that write are killed at any moment: watchers end with the records of the others."""
        chance = random.Random(20)
        async with View(here) as own:
            left: list[bytes] = []
            for turn in range(4):
                async with (
                    Participant.spawn(harness.url()) as victim,
                    Participant.spawn(harness.url()) as other,
                ):
                    doomed = asyncio.create_task(_drive(victim, f"victim{turn}"))
                    name = await other.advertise("Other", b"-")
                    for number in range(chance.randrange(1, 30)):
                        await other.update(name, b"%d.%d" % (turn, number))
                    victim.kill()
                    await asyncio.wait([doomed])
                    assert isinstance(doomed.exception(), AssertionError | ConnectionError), "it was killed"
                    survivor = await registered(there, "Survivor", b"survivor %d" % turn)
                    left.append(b"survivor %d" % turn)
                    for watcher in (own, view):
                        await watcher.until_data([*left, b"%d.%d" % (turn, number)])
                    assert survivor.name is not None
            for watcher in (own, view):
                await watcher.until_data(left)


async def _write(chance: random.Random, registry: Registry, name: str, operations: int) -> list[bytes]:
    """Advertise, update and withdraw at random; return the data of what is left."""
    left: dict[Advertisement, bytes] = {}
    for number in range(operations):
        data = f"{name} {number}".encode()
        action = chance.choice(("advertise", "advertise", "update", "update", "withdraw"))
        if action == "advertise" or not left:
            advertisement = registry.advertise(name, data)
            left[advertisement] = data
            if chance.random() < 0.7:
                await advertisement.registered()
        elif action == "update":
            advertisement = chance.choice(list(left))
            advertisement.update(data)
            left[advertisement] = data
        else:
            advertisement = chance.choice(list(left))
            del left[advertisement]
            await advertisement.withdraw()
        await asyncio.sleep(0)
    for advertisement in left:
        await advertisement.registered()
    return list(left.values())


async def _drive(victim: Participant, name: str) -> None:
    """Keep a process writing until it is killed."""
    names = [await victim.advertise(name, b"%d" % number) for number in range(3)]
    number = 0
    while True:
        number += 1
        await victim.update(names[number % 3], b"%s %d" % (name.encode(), number))
