"""Runs the contract's tests in a simulated world."""

import asyncio
import inspect
from contextlib import AsyncExitStack

import pytest

from peerage.testing import RegistryConformance, View
from peerage.testing.harness import closing, missing_tests

#: It opens the registry in a thread, and nothing of a simulation may run in one.
LEFT_OUT = {"test_opening_needs_no_event_loop"}


def applying(capabilities):
    """Return the tests that apply, each with the arguments that aren't fixtures."""
    names = {name for name in dir(RegistryConformance) if name.startswith("test_")}
    return [
        pytest.param(name, given, id=f"{name}-{given}" if given else name)
        for name in sorted(names - LEFT_OUT - set(missing_tests(RegistryConformance, capabilities)))
        for given in _parameters(getattr(RegistryConformance, name))
    ]


def _parameters(test):
    for mark in getattr(test, "pytestmark", ()):
        if mark.name == "parametrize":
            name, values = mark.args
            return [{name: value} for value in values]
    return [{}]


def keeps(world, harness, name, given):
    """Run a test of the suite as a process of *world*; ``harness.open(host, path)`` opens a registry."""
    host = world.host("test")

    async def happens():
        ended = asyncio.Event()
        host.start(lambda _: run(name, harness, given)).at_end.append(ended.set)
        await ended.wait()
        if host.error is not None:
            raise host.error

    world.run(happens())
    assert world.failures == []


async def run(name, harness, given):
    """Run a test of the suite, with the suite's fixtures."""
    test = getattr(RegistryConformance, name)
    async with AsyncExitStack() as stack:

        async def fixture(wanted):
            if wanted in given:
                return given[wanted]
            match wanted:
                case "harness":
                    return harness
                case "here":
                    return (await stack.enter_async_context(closing(harness.first())))[0]
                case "view":
                    return await stack.enter_async_context(View(await fixture("there")))
            if wanted not in made:
                opened = harness.open("there", "/asab" if wanted == "there" else "/elsewhere")
                made[wanted] = (await stack.enter_async_context(closing(opened)))[0]
            return made[wanted]

        made = {}
        wanted = list(inspect.signature(test).parameters)[1:]
        await test(RegistryConformance(), **{each: await fixture(each) for each in wanted})
