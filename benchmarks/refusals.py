"""What it costs a caller that most or all instances of a service refuse connections.

As a module it is the caller: ``python -m benchmarks.refusals``; see :func:`_call`.
"""

import asyncio
import json
import socket
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, Final

from aiohttp import ClientConnectorError, ClientSession

from benchmarks.driver import fixture, running
from benchmarks.records import local
from benchmarks.report import Row
from peerage.discovery import Discovery
from peerage.registry import open_registry

_INSTANCES: Final = 30
_CALLS: Final = 2000
_PER_SECOND: Final = 133

_URL: Final = "http://orders.service_id.asab/"


def measure() -> list[Row]:
    """Every row of this part."""
    service = f"{_PER_SECOND} calls a second, GET and POST by turns"
    with running("refusals") as caller:
        all_refuse = caller.ask([])
        with fixture("serve", "1") as server:
            one_is_left = caller.ask(server.hear())
    connections, cpu = all_refuse["connections"], all_refuse["cpu"]
    return [
        Row(
            f"all {_INSTANCES} instances refuse connections, {service}: connections tried a call",
            "≤ 5",
            f"{connections:.2f}",
            connections <= 5 and all_refuse["failed"] == _CALLS,
            "the probes in the background included",
        ),
        Row(
            f"all {_INSTANCES} refuse, {service}: client CPU a call",
            "≤ 2 ms",
            f"{cpu * 1e3:.2f} ms",
            cpu <= 0.002,
        ),
        Row(
            f"{_INSTANCES - 1} of {_INSTANCES} refuse, {service}: failed calls of {_CALLS}",
            "0",
            f"{one_is_left['failed']}",
            not one_is_left["failed"],
            f"{one_is_left['connections']:.2f} connections and {one_is_left['cpu'] * 1e3:.2f} ms CPU a call",
        ),
    ]


async def _call(ports: list[int], tried: list[Any]) -> dict[str, float]:
    """Call a service that has instances at *ports*, and others that refuse connections.

    Args:
        ports: of the instances that answer.
        tried: grows by each connection that this process tries to make.

    Returns:
        Of each call the connections tried, and the CPU seconds; and how many calls failed.
    """
    async with AsyncExitStack() as stack:
        url = f"memory:refusals{len(ports)}"
        registry = open_registry(url)
        stack.push_async_callback(registry.aclose)
        # A port that is bound and not listened at refuses connections, and nothing else can take it.
        bound = [stack.enter_context(socket.socket()) for _ in range(_INSTANCES - len(ports))]
        for each in bound:
            each.bind(("127.0.0.1", 0))
        for port in (*ports, *(each.getsockname()[1] for each in bound)):
            await registry.advertise("App", local("orders", port)).registered()
        discovery = await stack.enter_async_context(Discovery(url))
        session = await stack.enter_async_context(discovery.session())
        await discovery.ready(10)
        calls: list[asyncio.Task[bool]] = []
        tried.clear()
        cpu, begin = time.process_time(), time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in range(_CALLS):
                method = "POST" if number % 2 else "GET"
                calls.append(tasks.create_task(_succeeds(session, method)))
                await asyncio.sleep(begin + (number + 1) / _PER_SECOND - time.monotonic())
        cpu = time.process_time() - cpu
        return {
            "connections": len(tried) / _CALLS,
            "cpu": cpu / _CALLS,
            "failed": sum(not each.result() for each in calls),
        }


async def _succeeds(session: ClientSession, method: str) -> bool:
    try:
        async with session.request(method, _URL) as response:
            await response.read()
            return response.status == 200
    except ClientConnectorError:
        return False


def _obey() -> None:
    tried: list[Any] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            tried.append(arguments[1])

    sys.addaudithook(audit)
    for line in sys.stdin:
        (ports,) = json.loads(line)
        print(json.dumps(asyncio.run(_call(ports, tried))), flush=True)


if __name__ == "__main__":
    _obey()
