"""Random faults from a seed, under load: in the end all watchers know exactly the advertised records."""

import asyncio
import random
import re
from urllib.parse import urlsplit

import pytest
from tests.backends.zookeeper.support import agree, identity_of, located, never_empty

from peerage import Discovery
from peerage.registry import Advertisement, Registry, open_registry
from peerage.testing import View
from peerage.testing.harness import closing
from peerage.testing.zookeeper import Proxy


async def _churn(registry: Registry, chance: random.Random, wished: dict[Advertisement, bytes]) -> None:
    """Advertise, update and withdraw; *wished* collects what must be there in the end."""
    number = chance.randrange(1, 1_000) * 1_000_000
    while True:
        number += 1
        step = chance.random()
        if step < 0.4 and len(wished) < 10:
            wished[registry.advertise("Churn", b"%d" % number)] = b"%d" % number
        elif step < 0.7 and wished:
            owner = chance.choice(list(wished))
            owner.update(b"%d" % number)
            wished[owner] = b"%d" % number
        elif wished:
            owner = chance.choice(list(wished))
            del wished[owner]
            await owner.withdraw()
        await asyncio.sleep(chance.uniform(0, 0.01))


@pytest.mark.parametrize("seed", [1, 2])
async def test_connections_cut_at_random(url, proxy, through, seed, caplog):
    """Fifty cuts under load: all watchers end with what is wished for, and no answer was ever empty.

    In the log it is one outage, for each whose connection was cut: a line when it began, one when it ended.
    """
    chance = random.Random(seed)
    address = urlsplit(url).netloc
    async with Proxy(address) as second:
        urls = (through, url.replace(address, second.address), url)
        async with (
            Discovery(urls[0], identity=identity_of("stable", 1)) as one,
            Discovery(urls[1], identity=identity_of("stable", 2)) as two,
            Discovery(urls[2], identity=identity_of("stable", 3)) as three,
            View(one.registry) as first,
            View(two.registry) as middle,
            View(three.registry) as last,
        ):
            discoveries = (one, two, three)
            stable = [await each.advertise(port=8000 + n) for n, each in enumerate(discoveries)]
            for each in discoveries:
                await located(each, "stable", 3)
            wishes: list[dict[Advertisement, bytes]] = [{}, {}, {}]
            async with never_empty("stable", *discoveries):
                churns = [
                    asyncio.create_task(_churn(each.registry, random.Random(f"{seed} {n}"), wishes[n]))
                    for n, each in enumerate(discoveries)
                ]
                for _ in range(50):
                    chance.choice((proxy, second)).cut()
                    await asyncio.sleep(chance.choice((0, 0.01, 0.1, 0.2)))
                for churn in churns:
                    churn.cancel()
                ends = await asyncio.gather(*churns, return_exceptions=True)
                assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
                owners = {owner: data for wished in wishes for owner, data in wished.items()}
                wished = {await owner.registered(): data for owner, data in owners.items()}
                nodes = {await each.registered() for each in stable}
                for view in (first, middle, last):
                    await view.until(
                        lambda view=view: (
                            {node: view.data[node] for node in view.data if node not in nodes} == wished
                            and nodes <= set(view.data)
                        ),
                        f"{wished!r}",
                    )
            true = await agree(url, first, middle, last)
            assert set(true) == nodes | set(wished)
            for each in discoveries:
                await located(each, "stable", 3)
        lines = [entry.getMessage() for entry in caplog.records if entry.name == "peerage.outage_log"]
        assert len(lines) == 4, lines
        for cut in (proxy, second):
            begin, end = (line for line in lines if cut.address in line)
            assert begin.startswith("Out of touch"), begin
            assert re.search(r"again after [0-9.]+ s and [0-9]+ losses; \d+ records", end), end


@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_at_random(url, server, proxy, through, seed):
    """In the end each wanted record is there once, and all watchers know it."""
    chance = random.Random(seed)

    async def fail() -> None:
        match chance.choice(("cut", "expire", "mute", "refuse", "hang")):
            case "cut":
                proxy.cut()
            case "expire":
                await proxy.expire_sessions()
            case "mute":
                proxy.swallow_answers()
            case "refuse":
                await proxy.refuse()
            case "hang":
                proxy.black_hole()

    async with (
        closing(open_registry(through), open_registry(url)) as (here, there),
        View(here) as own,
        View(there) as view,
    ):
        wished: dict[Advertisement, bytes] = {}
        churn = asyncio.create_task(_churn(here, random.Random(seed), wished))
        for _ in range(20):
            await fail()
            await asyncio.sleep(chance.choice((0, 0.01, 0.1)))
            await proxy.heal()
            await asyncio.sleep(chance.choice((0, 0.05, 0.2)))
        churn.cancel()
        (end,) = await asyncio.gather(churn, return_exceptions=True)
        assert isinstance(end, asyncio.CancelledError), end
        true = {await owner.registered(): data for owner, data in wished.items()}
        await own.until(lambda: own.data == true and own.stale is None, f"{true!r}")
        await view.until(lambda: view.data == true, f"{true!r}")
        assert await agree(url, own, view) == true
