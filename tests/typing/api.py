"""The public names as type checkers see them; `make check` runs mypy and pyright on this file.

Each line that is ignored must be an error: both checkers refuse an ignore that isn't needed.
"""

from collections.abc import AsyncIterator
from typing import assert_type

import aiohttp
import httpx
import httpx2
from aiohttp import web

from peerage import (
    Advert,
    CallCounts,
    CallOptions,
    CallTrace,
    Changed,
    Discovery,
    DiscoveryResolver,
    Identity,
    Instance,
    Joined,
    Left,
    PeerageError,
    PeerEvent,
    Registration,
    Registry,
    UnreachableError,
    deadline,
    open_registry,
    trace_calls,
)
from peerage import sync as blocking
from peerage.balancing import peak_ewma
from peerage.integrations import httpx as transports
from peerage.integrations import httpx2 as transports2
from peerage.telemetry import OpenTelemetry
from peerage.web import (
    GracefulStop,
    Gradient2,
    authorize,
    drain_on_signals,
    limit_concurrency,
    propagate,
    refuse_misdirected,
    run_app,
)


async def be_found() -> None:
    """Names, ports and ids of an advertisement."""
    async with Discovery("memory:", service_id="orders", instance_id="orders-1") as discovery:
        assert_type(discovery, Discovery)
        registration = await discovery.advertise(port=8080, ids={"shard": [1, 2]})
        assert_type(registration, Registration)
        registration.update(ids={"shard": 3}, weight=2)
        await registration.drain(0.5)
        await discovery.advertise(prt=8080)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    async with Discovery(identity=Identity(host="localhost", service_id="orders")):
        pass
    Discovery(service="orders")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def find() -> None:
    """What a look-up returns."""
    async with Discovery() as discovery:
        assert_type(await discovery.locate(service_id="orders"), set[str])
        assert_type(await discovery.instances({"shard": 1}), list[Instance])
        assert_type(discovery.stale, str | None)
        assert_type(discovery.age, float)
        discovery.foo()  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]
        async for event in discovery.changes():
            assert_type(event, PeerEvent)
            if isinstance(event, Changed):
                assert_type(event.before, Instance)
            else:
                assert_type(event, Joined | Left)
            assert_type(event.instance.urls, tuple[str, ...])


async def call() -> AsyncIterator[bytes]:
    """A session is aiohttp's."""
    async with Discovery() as discovery, discovery.session("http://orders.service_id.asab") as session:
        assert_type(session, aiohttp.ClientSession)
        try:
            async with session.get("/v1/orders") as response:
                yield await response.read()
        except UnreachableError as error:
            refused: aiohttp.ClientConnectionError = error
            reason: PeerageError = error
            raise refused from reason
    aiohttp.TCPConnector(resolver=DiscoveryResolver(discovery))


async def serve(discovery: Discovery, runner: web.AppRunner) -> None:
    """What a server takes from ``peerage.web``."""
    limit = limit_concurrency(Gradient2(initial=50, least=10))
    verify = authorize(discovery.auth.verifier())
    app = web.Application(middlewares=[refuse_misdirected(discovery), limit, verify])
    limit_concurrency(50)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await GracefulStop(app).stop(runner)
    drain_on_signals(GracefulStop(app), await discovery.advertise(port=80), lame_duck=0.5, then=print)
    drain_on_signals(app)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    refuse_misdirected()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def in_time(session: aiohttp.ClientSession) -> web.Application:
    """How long calls may take, and the server's part."""
    async with deadline(2.0), session.get("http://orders.service_id.asab") as response:
        await response.read()
    async with deadline(None), deadline("2"):  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        pass
    Discovery(calls=CallOptions(deadline=0.5, near=False, subset=20, key="tenant-7"))
    Discovery(calls=CallOptions(failures={503, "timed_out"}, score=peak_ewma, failover=False))
    Discovery(calls=CallOptions(key=7))  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    return web.Application(middlewares=[propagate(), propagate(only_safe=True)])


def serve_alone(app: web.Application) -> None:
    """What takes the place of ``web.run_app``."""
    run_app(app, Discovery(service_id="orders"), Advert(weight=2), host="127.0.0.1", port=0, access_log=None)
    run_app(app)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


def registry() -> Registry:
    """A registry for one test."""
    return open_registry(b"memory:")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def see() -> None:
    """What a program can see of its calls."""
    async with Discovery(telemetry=OpenTelemetry()) as discovery, discovery.session() as session:
        with trace_calls() as traces:
            await session.get("http://orders.service_id.asab/")
        assert_type(traces, list[CallTrace])
        assert_type(traces[0].attempts[0].seconds, float | None)
        assert_type(discovery.call_counts(), CallCounts)
        discovery.call_counts().attempts["answered"] = 0  # type: ignore[index] # pyright: ignore[reportIndexIssue]
    Discovery(telemetry=print)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def call_with_httpx(discovery: Discovery) -> None:
    """Each transport fits the clients of its package only."""
    auth = transports.InternalAuth(discovery)
    transport = transports.AsyncTransport(discovery, calls=CallOptions(retry=False))
    async with httpx.AsyncClient(transport=transport, auth=auth) as client:
        assert_type(await client.get("http://orders.service_id.asab/"), httpx.Response)
    httpx2.AsyncClient(transport=transports2.AsyncTransport(discovery))
    httpx2.AsyncClient(transport=transport)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    transports.AsyncTransport(discovery, wrapped=httpx.HTTPTransport())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def call_without_a_loop(discovery: blocking.Discovery) -> None:
    """Likewise."""
    assert_type(discovery.client(timeout=5.0), httpx.Client)
    httpx.Client(transport=discovery.transport(ssl=False))
    httpx2.Client(transport=transports2.Transport(discovery), auth=transports2.InternalAuth(discovery))
