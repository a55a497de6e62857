"""Fake peers: real servers on loopback with the handlers of a test, advertised in its registry."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Self, Unpack

from aiohttp import web

from peerage.records.advert import Advert, AdvertFields
from peerage.records.build import build_record
from peerage.records.identity import Identity
from peerage.records.instance import DRAINING
from peerage.testing.isolated import IsolatedRegistry
from peerage.testing.loopthread import LoopThread
from peerage.web.running import bound_web
from peerage.web.stopping import stop_listening

if TYPE_CHECKING:
    from peerage.registry import Advertisement

#: What answers: a coroutine function or a function of a request, which returns a response or a JSON value; or
#: the JSON value itself.
Handler = Callable[[web.Request], Any] | Any


class Peer:
    """A fake instance of a service; made by :meth:`Peers.add`.

    Its methods may be called from any thread, and return when their effect has begun.
    """

    def __init__(
        self,
        thread: LoopThread,
        registry: IsolatedRegistry,
        handler: Handler,
        identity: Identity,
        fields: AdvertFields,
    ) -> None:
        self.requests: list[web.Request] = []
        """The requests that it received, in order, without the probes that peerage sends; the bodies of those
        that are answered were read, so that ``await request.json()`` works."""
        self._thread = thread
        self._registry = registry
        self._handler = handler
        self._status: int | None = None
        self._answering = asyncio.Event()
        self._answering.set()
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        # A handler that waits for something that doesn't come is cancelled with its connection.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        self._nonce = secrets.token_hex(8)
        self._advertisement: Advertisement | None = None
        self._killed = False
        self._advert = thread.run(self._listen(Advert(identity=identity).changed(**fields)))
        try:
            thread.run(self._publish())
        except BaseException:
            thread.run(self._stop())
            raise

    @property
    def url(self) -> str:
        """Where it listens: ``http://127.0.0.1:port``."""
        assert self._advert.web is not None, "it was started"
        address, port, *_ = self._advert.web[0]
        return f"http://{address}:{port}"

    def __await__(self) -> Generator[Any, None, Self]:
        """Wait until the code under test in this event loop knows it; return it."""
        yield from self._registry.seen().__await__()
        return self

    def kill(self, *, record_stays: bool = False) -> None:
        """End it as a crash does: its connections break, its port refuses new ones, and its record is gone.

        Args:
            record_stays: whether its record stays in the registry, as it does in ZooKeeper until the session
                of the dead process expires. Call this method again to remove the record.
        """
        if not self._killed:
            self._killed = True
            self._thread.run(self._stop())
        if self._advertisement is not None and not record_stays:
            self._thread.run(self._advertisement.withdraw())
            self._registry.seen_elsewhere()

    def hang(self) -> None:
        """Accept connections and requests, and answer nothing until :meth:`resume`, as a stopped process."""
        self._thread.call(self._answering.clear)

    def resume(self) -> None:
        """End :meth:`hang`: requests that are still waited for are answered."""
        self._thread.call(self._answering.set)

    def fail(self, status: int | None) -> None:
        """Answer each request with *status* and without the handler; None: as before."""
        self._status = status

    def drain(self) -> None:
        """Publish that it wants no new requests; it goes on to answer those it gets."""
        self._advert = replace(self._advert, state=DRAINING)
        self._thread.run(self._publish())
        self._registry.seen_elsewhere()

    async def _listen(self, advert: Advert) -> Advert:
        """Listen on a free port, and return *advert* with it."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return advert.changed(web=bound_web(self._runner))

    async def _publish(self) -> None:
        data = build_record(self._advert, nonce=self._nonce)
        if self._advertisement is None:
            self._advertisement = self._registry.own.advertise(self._advert.who().appclass, data)
        else:
            self._advertisement.update(data)
        await self._advertisement.registered()

    async def _stop(self) -> None:
        """Close its port and break its connections."""
        await stop_listening(self._runner)
        for connection in () if self._runner.server is None else self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not _is_probe(request):
            self.requests.append(request)
        await self._answering.wait()
        if self._status is not None:
            return web.Response(status=self._status)
        answer = self._handler(request) if callable(self._handler) else self._handler
        if isawaitable(answer):
            answer = await answer
        response = answer if isinstance(answer, web.StreamResponse) else web.json_response(answer)
        if not response.prepared:
            await request.read()
        # It may hang since the handler began.
        await self._answering.wait()
        return response


class Peers:
    """The fake peers of one test, which run in a thread of their own, and their registry.

    So they work in tests with any event loop and in tests without one, and a test that blocks its own event
    loop doesn't stop them. A handler runs in that thread as well.
    """

    def __init__(self, registry: IsolatedRegistry) -> None:
        self.registry = registry
        """The registry of the test, also where a project's own fixture is called ``registry``."""
        self._peers: list[Peer] = []
        self._thread: LoopThread | None = None
        self._count: Counter[str] = Counter()

    def add(self, service_id: str, handler: Handler = None, **fields: Unpack[AdvertFields]) -> Peer:
        """Start an instance of a service and advertise it; call it again for another instance.

        Its ``instance_id`` is ``orders-1``, that of the second one ``orders-2``.

        ::

            orders = await peers.add("orders", {"open": 3})
            assert (await orders.requests[0].json()) == {"customer": 7}

        In an asynchronous test await what it returns: then the code under test knows the peer already.

        Args:
            service_id: by which it is called, ``http://orders.service_id.asab``.
            handler: a function or coroutine function that gets each :class:`aiohttp.web.Request` and returns
                a response of aiohttp or a JSON value; or a JSON value, which answers each request.
            fields: of :class:`peerage.Advert`, such as ``ids={"shard": 1}``.

        Raises:
            RecordError: something of it can't be advertised.
        """
        if self._thread is None:
            self._thread = LoopThread("peerage.testing: peers")
        self._count[service_id] += 1
        instance_id = f"{service_id}-{self._count[service_id]}"
        identity = Identity(host="127.0.0.1", appclass="Peer", service_id=service_id, instance_id=instance_id)
        peer = Peer(self._thread, self.registry, handler, identity, fields)
        self._peers.append(peer)
        self.registry.seen_elsewhere()
        return peer

    def close(self) -> None:
        """End all of them."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            try:
                for peer in self._peers:
                    peer.kill(record_stays=True)
                thread.run(self.registry.own.aclose())
            finally:
                thread.close()


def _is_probe(request: web.Request) -> bool:
    """Tell whether a request only asks whether the instance answers at all."""
    return request.method == "HEAD" and request.headers.get("User-Agent") == "peerage"
