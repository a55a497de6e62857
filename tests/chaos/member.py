"""A process of the cluster under faults, which writes its trace: ``python -m tests.chaos.member``.

It is an instance of a service, ended by SIGTERM; or, without a port, a caller of all services, ended by the
end of its input. Both observe. Its environment says what it is, see :class:`tests.chaos.ensemble.Member`.
"""

import asyncio
import itertools
import os
import sys
import time
from contextlib import suppress
from typing import Final

from aiohttp import web

from peerage.disk_cache import from_environment
from peerage.records.identity import Identity
from peerage.registry import open_registry
from peerage.testing.simulation.calls import CALL_HEADER, TracedCall
from peerage.testing.simulation.observing import TracingDiscovery
from peerage.testing.simulation.trace import Handled, Resting, Started, TraceFile
from peerage.web.running import serve_app

#: Methods and deadlines of the calls, in turn; POST with a key is written "KEY".
CALLS: Final = (("GET", None), ("POST", 5.0), ("GET", 5.0), ("KEY", None), ("PUT", 5.0))

#: Seconds that an instance drains.
LAME_DUCK: Final = 0.3


class Process:
    """What both kinds have."""

    def __init__(self) -> None:
        self.label = os.environ["TEST_PROCESS"]
        self.service = os.environ["SERVICE_ID"]
        self.port = int(os.environ["TEST_PORT"])
        self.host = os.environ["TEST_ADDRESS"]
        self.trace = TraceFile(os.environ["TEST_TRACE"])
        self.write = self.trace.append
        self.write(Started(time.monotonic(), self.label, os.environ["INSTANCE_ID"]))

    def discovery(self) -> TracingDiscovery:
        identity = Identity(
            host=self.host,
            appclass="Member",
            service_id=self.service,
            instance_id=os.environ["INSTANCE_ID"],
        )
        return TracingDiscovery(
            open_registry(os.environ["PEERAGE_REGISTRY"]),
            process=self.label,
            write=self.write,
            clock=time.monotonic,
            identity=identity,
            disk_cache=from_environment(),
        )

    async def serve(self) -> None:
        async def handle(request: web.Request) -> web.Response:
            call = request.headers.get(CALL_HEADER)
            if call is not None:
                self.write(Handled(time.monotonic(), call, self.label, self.service))
            await request.read()
            return web.Response(text=self.service)

        app = web.Application()
        app.router.add_route("*", "/", handle)
        await serve_app(app, self.discovery(), host=self.host, port=self.port, lame_duck=LAME_DUCK)

    async def call(self) -> None:
        """Begin calls at a steady rate, of each service in turn, until the input ends."""
        services, rate = os.environ["TEST_SERVICES"].split(), float(os.environ["TEST_RATE"])
        over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        calls: set[asyncio.Task[None]] = set()
        async with self.discovery() as discovery, discovery.session() as session:
            begin = time.monotonic()
            for number, (method, deadline) in zip(itertools.count(), itertools.cycle(CALLS), strict=False):
                service = services[number % len(services)]
                call = TracedCall(f"{self.label}/{number}", self.label, service, method, deadline, service)
                task = asyncio.create_task(call.make(session, self.write, time.monotonic))
                calls.add(task)
                task.add_done_callback(calls.discard)
                wait = begin + (number + 1) / rate - time.monotonic()
                await asyncio.wait([over], timeout=max(0.0, wait))
                if over.done():
                    break
            while calls:
                await asyncio.wait(calls)
            discovery.look()
            self.write(Resting(time.monotonic(), self.label, discovery.outstanding))


async def main() -> None:
    process = Process()
    with process.trace:
        await (process.serve() if process.port else process.call())


if __name__ == "__main__":
    with suppress(asyncio.CancelledError):
        asyncio.run(main())
