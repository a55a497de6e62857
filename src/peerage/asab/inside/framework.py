"""What ``asab.api`` does in an application of the real asab."""

import asyncio
import inspect
import logging
import threading
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from peerage.asab.endpoints.handlers import add_settings
from peerage.asab.inside.internal import InternalKeys
from peerage.asab.inside.kazooclient import chroot_of, registry_url
from peerage.asab.parts import Phase
from peerage.asab.zookeeper.discovery import ContainerDiscovery
from peerage.errors import ConfigurationError, NotDiscoveredError, PeerageError
from peerage.registry import open_registry
from peerage.web import propagate, refuse_misdirected
from peerage.web.stopping import GracefulStop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from configparser import RawConfigParser

    from peerage.asab.api.service import ApiService

log = logging.getLogger("peerage.asab.api")


class RealAsab:
    """A module of the application: modules end after all services, so discovery works until then."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.config: RawConfigParser = import_module("asab").Config
        self.contextvars: Any = import_module("asab.contextvars")
        _derive_not_discovered_error()
        self._graceful: list[GracefulStop] = []
        self._own_records: set[str] = set()
        self._discoveries: dict[Any, ContainerDiscovery] = {}
        self._accepting: dict[Any, asyncio.Task[None]] = {}
        self._running = False
        self._drained: asyncio.Task[None] | None = None
        # PubSub holds bound methods weakly; the application holds this object.
        app.PubSub.subscribe("Application.run!", self._on_run)
        app.PubSub.subscribe("Application.tick!", self._on_run)
        app.PubSub.subscribe("Application.stop!", self._on_stop)

    @classmethod
    def of(cls, app: Any) -> Self:
        """Return the one of *app*, made if there is none."""
        app.add_module(cls)
        return next(module for module in app.Modules if isinstance(module, cls))

    # As the port has it

    @property
    def unverified(self) -> bool:
        """Whether there is an AuthService; it sets Authz once it has verified a token."""
        return "asab.AuthService" in self._app.Services

    def serve(self, api: "ApiService", container: Any) -> None:
        """Add the endpoints of the framework's own ApiService; refuse misdirected requests.

        It raises RuntimeError if the container listens already.
        """
        webapp = container.WebApp
        if webapp.frozen:
            raise RuntimeError(
                "initialize_web() comes too late, this web container has started: call it in the "
                "application's constructor, or in its initialize()."
            )
        _add_endpoints(api, container)
        add_settings(webapp.router, self._app, self.config, self.contextvars.Authz)
        graceful = GracefulStop(webapp)
        self._graceful.append(graceful)
        # In front of the others: nothing reads a request that is refused.
        # Handlers that change something aren't cancelled: they were written without that in mind.
        webapp.middlewares[:0] = (refuse_misdirected(self), propagate(only_safe=True))
        _drain_before_stop(container, self.drained, graceful)

    def own_ids(self) -> set[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which this process is called."""
        return set[tuple[str, str]]().union(*(each.own_ids() for each in self._discoveries.values()))

    def own_records(self) -> set[str]:
        """Return the names of its records, those that any of its containers advertises itself included."""
        for discovery in self._discoveries.values():
            self._own_records.update(discovery.own_records())
        service = self._app.Services.get("asab.ZooKeeperService")
        for container in () if service is None else service.Containers:
            for advertisement in container.Advertisments.values():
                if advertisement.RealPath is not None:
                    self._own_records.add(advertisement.RealPath.rpartition("/")[2])
        return self._own_records

    def make_zookeeper_container(self, service: Any) -> Any:
        """Return a new container."""
        return import_module("asab.zookeeper").ZooKeeperContainer(service)

    def open_discovery(self, container: Any) -> ContainerDiscovery:
        """Return a Discovery with its own session: the container's client has no recursive watches.

        It is started, and ends with the application.
        """
        if container not in self._discoveries:
            try:
                registry = open_registry(registry_url(container))
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"Servers and path of ZooKeeper, configured in [{container.ConfigSectionName}]: {error}"
                ) from None
            discovery = ContainerDiscovery(registry, self.config, chroot_of(container))
            discovery.start()
            self._discoveries[container] = discovery
        return self._discoveries[container]

    def accept_internal_tokens(self, container: Any) -> None:
        """Begin to give AuthService, if there is one, the public keys as ZooKeeper has them."""
        if container in self._accepting:
            return
        keys = InternalKeys.of(self._app, self.open_discovery(container))
        if keys is not None:
            self._accepting[container] = self._app.Loop.create_task(
                keys.run(), name="peerage.asab: keys for AuthService"
            )

    # As a module

    async def initialize(self, app: Any) -> None:
        """Do nothing: what needs discovery starts it."""

    async def finalize(self, app: Any) -> None:  # noqa: ARG002 - the signature of each module
        """Close the Discoveries."""
        await self.drained()
        for task in self._accepting.values():
            task.cancel()
        ends: list[Awaitable[None]] = [*self._accepting.values()]
        ends += [discovery.aclose() for discovery in self._discoveries.values()]
        ends += [discovery.registry.aclose() for discovery in self._discoveries.values()]
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(error, Exception):
                log.error("Discovery couldn't be closed cleanly", exc_info=error)

    # Draining

    async def drained(self) -> None:
        """Return when callers have had the time to go elsewhere."""
        await asyncio.shield(self._begin_to_drain())

    def _begin_to_drain(self) -> asyncio.Task[None]:
        if self._drained is None:
            self._drained = self._app.Loop.create_task(self._drain(), name="peerage.asab: draining")
        return self._drained

    async def _drain(self) -> None:
        for service in tuple(self._app.Services.values()):
            if getattr(service, "peerage_phase", None) is Phase.API:
                try:
                    await service.drain(self._app)
                except Exception:
                    log.exception("%s.drain() failed", service.Name)

    def _on_run(self, _message_type: str) -> None:
        self._running = True

    def _on_stop(self, _message_type: str, *_: Any) -> None:
        # The framework ignores a stop before it runs.
        if self._running:
            for graceful in self._graceful:
                graceful.close_connections()
            self._begin_to_drain()


def _derive_not_discovered_error() -> None:
    """Make NotDiscoveredError a subclass of the framework's, which programs and parts of asab catch."""
    theirs = import_module("asab.api.discovery").NotDiscoveredError
    if not issubclass(NotDiscoveredError, theirs):
        # Both are RuntimeErrors, so nothing else about the class changes.
        NotDiscoveredError.__bases__ = (PeerageError, theirs)


def _add_endpoints(api: "ApiService", container: Any) -> None:
    """Add ``/asab/v1/…`` and ``/doc`` to a web container."""
    app: Any = api.App
    webapp = container.WebApp
    logs = _log_handler(app)
    logging.getLogger().addHandler(logs)
    import_module("asab.api.web_handler").APIWebHandler(api, webapp, logs)
    import_module("asab.api.doc").DocWebHandler(api, app, container)
    metrics = app.get_service("asab.MetricsService")
    if metrics is not None:
        import_module("asab.metrics.web_handler").MetricWebHandler(metrics, webapp)


def _log_handler(app: Any) -> logging.Handler:
    base: Any = import_module("asab.api.log").WebApiLoggingHandler

    class WebApiLoggingHandler(base):  # type: ignore[misc] # known at run time
        """The framework's handler, which sends to WebSockets, made safe for records of other threads."""

        def emit(self, record: logging.LogRecord) -> None:
            if threading.get_ident() == home:
                super().emit(record)
            else:
                with suppress(RuntimeError):  # the loop is closed, and so are its WebSockets
                    app.Loop.call_soon_threadsafe(super().emit, record)

    home = threading.get_ident()
    handler: logging.Handler = WebApiLoggingHandler(app, level=logging.NOTSET)
    return handler


def _drain_before_stop(
    container: Any, drained: "Callable[[], Awaitable[None]]", graceful: GracefulStop
) -> None:
    """Make *container* close its listener once callers know, and then finish the requests under way."""
    # Private, but the only step between the end of the program and the close of the listener.
    stop = getattr(container, "_stop", None)
    if not inspect.iscoroutinefunction(stop):
        log.warning(
            "This version of asab stops its web containers in another way than 25.15 does: requests that "
            "arrive while the service stops may fail"
        )
        return

    async def stop_drained(app: Any) -> None:
        await drained()
        await graceful.stop(container.WebAppRunner, cleanup=partial(stop, app))

    container._stop = stop_drained  # noqa: SLF001 - see above
