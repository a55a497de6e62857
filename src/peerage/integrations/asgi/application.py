"""One line by which an ASGI application is found by others, whatever server runs it."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

from peerage.discovery import Discovery
from peerage.errors import ConfigurationError, PeerageError
from peerage.integrations.advertising import PortAdvertising, check_given
from peerage.integrations.asgi.lifespan import run_lifespan
from peerage.integrations.asgi.messages import App, Message, Receive, Scope, Send, first
from peerage.integrations.asgi.misdirected import refuse_misdirected
from peerage.integrations.asgi.propagation import propagate
from peerage.integrations.asgi.requests import RequestsUnderWay
from peerage.integrations.django_hosts import is_django, with_hyphens
from peerage.integrations.hypercorn_workers import stop_of_supervisor
from peerage.integrations.ports import IDENTIFIED, IDENTIFY, METHOD, listening
from peerage.integrations.uvicorn_server import UvicornServer
from peerage.records.advert import Advert
from peerage.registration import LAME_DUCK
from peerage.serving.gunicorn_workers import this_worker
from peerage.serving.signals import TIMEOUT, intercept_signals

log = logging.getLogger(__name__)


class Discovered:
    """An ASGI application that is advertised while its server runs, and stops without a failed call.

    ::

        app = discovered(app, service_id="orders")  # at the end of the module that the server loads

    In Starlette and FastAPI it may be a middleware as well: ``app.add_middleware(Discovered,
    service_id="orders")``, the last one that is added.

    It is advertised when its port answers. The port is searched for among the sockets on which the process
    listens. Several workers that serve one port are one instance: one of them advertises it, and if that
    ends, another one does. Without an *instance_id* they are called ``<service>-<host>-<port>``,
    with the address before the port if they listen at one other than 127.0.0.1.

    At SIGTERM and SIGINT, the record says that no new requests are wanted, and is withdrawn after *lame_duck*
    seconds; responses close their connections. Then the requests under way have *timeout* seconds to end, and
    after that the server gets the signal. A second signal goes to the server at once, unless it comes within
    a second.

    The open Discovery is in the state of each request and of the lifespan: ``request.state.discovery``.
    Requests that are meant for another service are refused, see :func:`refuse_misdirected`; deadlines of
    callers hold, see :func:`propagate`.

    Args:
        app: the application; *discovered* must be the outermost one.
        discovery: advertises it; not opened yet. By default ``Discovery(**of_discovery)``.
        advert: what is advertised beside the port.
        port: at which it is served. None: it is searched for.
        lame_duck: seconds to wait between publishing that it drains and withdrawing.
        timeout: seconds that requests under way have after that.
        of_discovery: arguments of :class:`peerage.Discovery`.

    Raises:
        TypeError: both *discovery* and arguments for one are given.
        RecordError: something of *advert* can't be advertised.
    """

    def __init__(
        self,
        app: App,
        discovery: Discovery | None = None,
        advert: Advert | None = None,
        *,
        port: int | None = None,
        lame_duck: float = LAME_DUCK,
        timeout: float = TIMEOUT,
        **of_discovery: Any,
    ) -> None:
        check_given(discovery, of_discovery)
        self._app = app
        self._given = discovery
        self._of_discovery = of_discovery
        self._advert = advert
        self._port = port
        self._lame_duck = lame_duck
        self._timeout = timeout
        shown = _with_accepted_hosts(app) if is_django(app) else app
        self._requests = RequestsUnderWay(refuse_misdirected(propagate(shown), self))
        self._discovery = discovery or Discovery(**of_discovery)
        self._advertising: PortAdvertising | None = None
        self._uvicorn: UvicornServer | None = None
        self._checked = False
        self._alone: _WithoutLifespan | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a WebSocket or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if self._advertising is None and not self._checked:
            self._checked = True
            # Other callers are tests of the application, which open no port.
            if _comes_from_a_port(scope):
                self._alone = _WithoutLifespan(self._open())
        if self._alone is not None:
            await self._alone.begun.wait()
        if scope["type"] == "http" and scope["method"] == METHOD and self._is_asked(scope):
            await self._identify(send)
            return
        scope.setdefault("state", {})["discovery"] = self._discovery
        await self._requests(scope, receive, send)
        if self._uvicorn is not None and self._uvicorn.limit_reached():
            signal.raise_signal(signal.SIGTERM)

    def own_ids(self) -> Collection[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which the application is called."""
        return () if self._advertising is None else self._advertising.own_ids()

    def own_records(self) -> Collection[str]:
        """Return the names that the records of this process in the registry have or had."""
        return () if self._advertising is None else self._advertising.own_records()

    def _is_asked(self, scope: Scope) -> bool:
        return self._advertising is not None and first(scope, IDENTIFY) == self._advertising.identification

    async def _identify(self, send: Send) -> None:
        assert self._advertising is not None  # noqa: S101 - it was asked
        headers = [(IDENTIFY.lower().encode(), self._advertising.identification.encode())]
        await send({"type": "http.response.start", "status": IDENTIFIED, "headers": headers})
        await send({"type": "http.response.body"})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            opened = self._open()
        except PeerageError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        last: Message | None = None

        async def hold_back(message: Message) -> None:
            # A server ends the process, or cancels this, when it learns that the end is reached.
            nonlocal last
            if message["type"] == "lifespan.startup.complete":
                await send(message)
            else:
                last = message

        try:
            async with opened as advertised:
                scope.setdefault("state", {})["discovery"] = self._discovery
                await run_lifespan(self._app, scope, receive, hold_back, advertised)
        finally:
            if last is not None:
                await send(last)

    def _open(self) -> AbstractAsyncContextManager[AbstractAsyncContextManager[None]]:
        """Return a context in which the Discovery is open, and in it one in which it advertises.

        Raises:
            PeerageError: something can't be advertised.
        """
        if self._given is None:
            # A Discovery is opened once. In tests there are several lifespans, each with its own environment.
            self._discovery = Discovery(**self._of_discovery)
        self._requests.closing = False
        self._advertising = PortAdvertising(self._discovery, self._advert, self._port)
        return self._opened(self._discovery, self._advertising)

    @asynccontextmanager
    async def _opened(
        self, discovery: Discovery, advertising: PortAdvertising
    ) -> AsyncIterator[AbstractAsyncContextManager[None]]:
        async with discovery:
            yield self._advertised(advertising)

    @asynccontextmanager
    async def _advertised(self, advertising: PortAdvertising) -> AsyncIterator[None]:
        """Advertise, and drain at a signal."""
        end_interception = self._intercept_signals(advertising)
        advertising.start()
        try:
            yield
        finally:
            await advertising.aclose()
            end_interception()

    def _intercept_signals(self, advertising: PortAdvertising) -> Callable[[], object]:
        """Drain at a signal; return a function that ends this."""
        if threading.current_thread() is not threading.main_thread():
            # A program that runs a server in another thread handles the signals itself.
            return lambda: None

        uvicorn = self._uvicorn = UvicornServer()
        worker = this_worker()

        async def drain() -> None:
            try:
                # At its limit of requests, gunicorn begins another worker only when this one has ended.
                if not uvicorn.stops_by_itself and await advertising.handed_over(worker, self._lame_duck):
                    # Until callers know the record of the other one.
                    await asyncio.sleep(self._lame_duck)
                self._requests.closing = True
                await advertising.drain(self._lame_duck)
                accepted = uvicorn.stop_accepting()
                await self._requests.finish(self._timeout, arriving=accepted)
            finally:
                if self._alone is not None:
                    await self._alone.aclose()

        try:
            return intercept_signals(drain, then=stop_of_supervisor())
        except ConfigurationError as error:
            log.warning("The server stops without draining, so that calls may fail: %s", error)
            return lambda: None


class _WithoutLifespan:
    """Advertises an application whose server has no lifespan, from its first request on."""

    def __init__(self, opened: AbstractAsyncContextManager[AbstractAsyncContextManager[None]]) -> None:
        self.begun = asyncio.Event()
        """Set when requests can be served."""
        live = self._live(opened)
        self._task = asyncio.get_running_loop().create_task(live, name="peerage: without a lifespan")

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _live(self, opened: AbstractAsyncContextManager[AbstractAsyncContextManager[None]]) -> None:
        try:
            async with opened as advertised, advertised:
                self.begun.set()
                await asyncio.Event().wait()
        except Exception:
            log.exception("This service isn't advertised")
        finally:
            self.begun.set()


def _with_accepted_hosts(app: App) -> App:
    async def accepted(scope: Scope, receive: Receive, send: Send) -> None:
        if "headers" in scope:
            headers = [
                (name, with_hyphens(value.decode("latin-1")).encode("latin-1") if name == b"host" else value)
                for name, value in scope["headers"]
            ]
            scope = {**scope, "headers": headers}
        await app(scope, receive, send)

    return accepted


def _comes_from_a_port(scope: Scope) -> bool:
    """Tell whether a socket of this process has received a request."""
    server = scope.get("server")
    # granian's port is text.
    return server is not None and str(server[1]) in {str(each.port) for each in listening()}


#: The same, where a function is written in front of an application.
discovered: Final = Discovered
