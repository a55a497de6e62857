"""The processes of the simulated cluster: services, and callers that call them all the time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import hdrs, web

from peerage.testing.simulation.calls import CALL_HEADER, TracedCall
from peerage.testing.simulation.observing import ObservedDiscovery
from peerage.testing.simulation.trace import (
    Ended,
    Event,
    Handled,
    Resting,
    Started,
    TokenSeen,
)
from peerage.web.running import serve_app

if TYPE_CHECKING:
    from peerage.testing.simulation.world import Host

#: The host that doesn't belong to the cluster, and its port.
OUTSIDE: Final = "outside"
_OUTSIDE_PORT: Final = 80

#: The first port on which the processes of a machine listen.
_FIRST_PORT: Final = 8001

#: Seconds that an instance drains.
_LAME_DUCK: Final = 1.0

#: Methods of the calls, each as often as it stands here; POST with a key is written "KEY".
_METHODS: Final = ("GET", "GET", "GET", "POST", "PUT", "KEY")

#: Seconds until the deadlines of the calls; None: they have none.
_DEADLINES: Final = (None, None, 0.5, 5.0)

#: The share of requests whose connection a failing instance breaks; the others are answered with 503.
_BREAKING: Final = 0.7

#: Callers of which one makes a call with a token.
_ONE_WITH_TOKEN: Final = 8

#: The share of callers that make one call at a time.
_SEQUENTIAL: Final = 0.3

#: Seconds between two calls of one caller, on average: usually, and for a moment around each action.
_PACE: Final = 2.0
_FAST_PACE: Final = 0.1
_FAST_SECONDS: Final = 0.3


class Cluster:
    """What the processes of one simulation have in common.

    Args:
        random: source of what isn't determined.
        clock: returns the virtual time.
        services: the names of the services.
    """

    def __init__(self, random: Random, clock: Callable[[], float], services: tuple[str, ...]) -> None:
        self.trace: list[Event] = []
        self.calling = True
        """Whether callers make further calls."""
        self.discoveries: dict[str, ObservedDiscovery] = {}
        """The last one of each host."""
        self.failing: set[str] = set()
        """The hosts whose process fails each request."""
        self._fast_until = 0.0
        self._hurry = asyncio.Event()
        self._random = random
        self._now = clock
        self._services = services
        self._calls = 0
        self._under_way: dict[TracedCall, None] = {}
        self._listening: dict[tuple[str, int], str] = {}

    def write(self, event: Event) -> None:
        """Add *event* to the trace."""
        self.trace.append(event)

    def hurry(self) -> None:
        """Let callers call more often for a moment, because something happens."""
        self._fast_until = self._now() + _FAST_SECONDS
        self._hurry.set()

    # Processes

    def begin(self, host: "Host") -> str:
        """Note that a process of *host* has begun and will end; return its label."""
        process = host.process
        assert process is not None, "it has begun"
        label = f"{host.name}.{host.starts}"
        self.write(Started(self._now(), label, host.name))
        process.at_end.append(lambda: self.write(Ended(self._now(), label)))
        return label

    def _discovery(
        self, host: "Host", label: str, *, authorization: str = "cluster", **ids: str
    ) -> ObservedDiscovery:
        world = host.world
        registry = world.open_registry(host)
        discovery = self.discoveries[host.name] = ObservedDiscovery(
            registry,
            process=label,
            write=self.write,
            clock=self._now,
            identity=host.identity(**ids),
            network=world.network,
            random=Random(self._random.random()),
            process_key=host.process_key,
            runs=host.runs,
            disk_cache=host.disk_cache(registry),
            authorization=authorization,
        )
        return discovery

    def _free_port(self, host: "Host") -> int:
        """Return the lowest free port of the machine: after a crash it may be that of another service."""
        process, port = host.process, _FIRST_PORT
        assert process is not None, "it has begun"
        while (host.ip, port) in self._listening:
            port += 1
        self._listening[host.ip, port] = host.name
        process.at_end.append(lambda: self._listening.pop((host.ip, port)))
        return port

    async def serve(self, host: "Host") -> None:
        """Run an instance of the service that *host* is named after, until it is terminated."""
        label, service = self.begin(host), host.name.rpartition("-")[0]
        seconds = self._random.choice((0.0, 0.001, 0.02, 0.2))

        async def handle(request: web.Request) -> web.StreamResponse:
            call = request.headers.get(CALL_HEADER)
            if hdrs.AUTHORIZATION in request.headers:
                self.write(TokenSeen(self._now(), label, allowed=True, call=call or ""))
                raise web.HTTPFound(f"http://{OUTSIDE}:{_OUTSIDE_PORT}/")
            if call is not None:
                self.write(Handled(self._now(), call, label, service))
            await request.read()
            if seconds:
                await asyncio.sleep(seconds)
            if host.name in self.failing:
                if request.transport is not None and self._random.random() < _BREAKING:
                    request.transport.abort()
                return web.Response(status=503)
            return web.Response(text=service)

        app = web.Application()
        app.router.add_route("*", "/", handle)
        discovery = self._discovery(host, label, service_id=service, instance_id=host.name)
        await serve_app(app, discovery, host=host.ip, port=self._free_port(host), lame_duck=_LAME_DUCK)

    async def serve_outside(self, host: "Host") -> None:
        """Run a server that doesn't belong to the cluster."""
        label = f"{host.name}.{host.starts}"
        self.write(Started(self._now(), label, host.name, observes=False))

        async def handle(request: web.Request) -> web.StreamResponse:
            self.write(TokenSeen(self._now(), label, allowed=hdrs.AUTHORIZATION not in request.headers))
            return web.Response(text=OUTSIDE)

        app = web.Application()
        app.router.add_route("*", "/", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, host.ip, _OUTSIDE_PORT).start()
        await asyncio.Event().wait()

    # Calls

    async def call_all_the_time(self, host: "Host") -> None:
        """Call the services at random intervals, whatever becomes of the calls."""
        label, drawn = self.begin(host), self._random.random()
        random, sequential = Random(drawn), drawn < _SEQUENTIAL
        # After a start without the registry only tokens of the instance's own key can be sent.
        restarted = host.starts > 1
        mode, resources = ("instance", {"*": ["orders:read"]}) if restarted else ("cluster", None)
        discovery = self._discovery(host, label, authorization=mode, service_id="shop", instance_id=host.name)
        async with discovery, discovery.session() as session:
            calls: set[asyncio.Task[None]] = set()
            if restarted or random.randrange(_ONE_WITH_TOKEN) == 0:
                async with discovery.session(auth="internal", resources=resources) as authorized:
                    # The service redirects it to a host outside of the cluster.
                    await self._call(authorized, label, random, "GET", OUTSIDE)
            while self.calling:
                await self._pause(random)
                call = asyncio.create_task(self._call(session, label, random, random.choice(_METHODS)))
                calls.add(call)
                call.add_done_callback(calls.discard)
                if sequential:
                    await asyncio.wait([call])
            while calls:
                await asyncio.wait(calls)
            self.write(Resting(self._now(), label, discovery.outstanding))
            await asyncio.Event().wait()

    async def _pause(self, random: Random) -> None:
        """Wait until the next call, which comes soon if something happens meanwhile."""
        if self._now() > self._fast_until:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * _PACE * random.random()):
                    await self._hurry.wait()
                    self._hurry.clear()
        if self._now() <= self._fast_until:
            await asyncio.sleep(2 * _FAST_PACE * random.random())

    async def _call(
        self, session: aiohttp.ClientSession, process: str, random: Random, method: str, answer: str = ""
    ) -> None:
        """Make one call, which *answer* is the right answer to, by default the service; write how it went."""
        self._calls += 1
        label, service = f"call-{self._calls}", random.choice(self._services)
        call = TracedCall(label, process, service, method, random.choice(_DEADLINES), answer or service)
        self._under_way[call] = None
        await call.make(session, self.write, self._now)
        del self._under_way[call]

    def end(self) -> list[Event]:
        """Return the trace, with the attempts of calls that are still under way."""
        for call in self._under_way:
            call.write_attempts(self.write)
        return [*self.trace]
