"""An application of the real asab."""

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from peerage.asab.host.endpoints import add_endpoints
from peerage.asab.host.internal import FrameworkAuthorization
from peerage.asab.host.kazooclient import registry_url
from peerage.asab.host.stopping import drain_before_stop
from peerage.asab.parts import Floor
from peerage.asab.web.requests import Requests
from peerage.asab.zookeeper.patience import PatientDiscovery
from peerage.errors import ConfigurationError
from peerage.misdirected import OwnIds
from peerage.registry import open_registry
from peerage.server import refuse_misdirected

if TYPE_CHECKING:
    from configparser import RawConfigParser

    from peerage.asab.api.service import ApiService

__all__ = ["Framework"]

log = logging.getLogger("peerage.asab.api")


class Framework:
    """Among the application's modules, which end when all of its services have.

    So discovery can be used until then, as in an application of this layer.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.config: RawConfigParser = import_module("asab").Config
        self.contextvars: Any = import_module("asab.contextvars")
        self.own_ids = OwnIds()
        self._requests: list[Requests] = []
        self._discoveries: dict[Any, PatientDiscovery] = {}
        self._opened: set[PatientDiscovery] = set()
        self._running = False
        self._drained: asyncio.Task[None] | None = None
        # It holds bound methods weakly; this object is held by the application.
        app.PubSub.subscribe("Application.run!", self._on_run)
        app.PubSub.subscribe("Application.tick!", self._on_run)
        app.PubSub.subscribe("Application.stop!", self._on_stop)

    @classmethod
    def of(cls, app: Any) -> Self:
        """Return that of *app*, made if there is none."""
        app.add_module(cls)
        return next(module for module in app.Modules if isinstance(module, cls))

    # The host

    @property
    def unverified(self) -> bool:
        """Return True where there is an AuthService: in open handlers, and while it looks for keys."""
        return "asab.AuthService" in self._app.Services

    def serve(self, api: "ApiService", container: Any) -> None:
        """Add the endpoints, those of the framework's own ApiService; refuse what is meant for others.

        Raises:
            RuntimeError: the container listens already.
        """
        webapp = container.WebApp
        if webapp.frozen:
            raise RuntimeError(
                "initialize_web() comes too late, this web container has started: call it in the "
                "application's constructor, or in its initialize()."
            )
        add_endpoints(self._app, self, api, container)
        self.own_ids.claim(api.Name, lambda: api.Discovery)
        requests = Requests()
        # The first looks first.
        webapp.middlewares[:0] = [refuse_misdirected(self.own_ids), requests.middleware]
        webapp.on_response_prepare.append(requests.on_response_prepare)
        self._requests.append(requests)
        drain_before_stop(container, self.drained, requests)

    def scheme_of(self, container: Any) -> str:
        """Return what is spoken where the first line of ``listen`` says."""
        # Not public: (address, port, context of TLS) of each line.
        lines = getattr(container, "_listen", None) or [(None, None, None)]
        return "http" if lines[0][2] is None else "https"

    def make_zookeeper_container(self, service: Any) -> Any:
        """Return a new container."""
        return import_module("asab.zookeeper").ZooKeeperContainer(service)

    def discovery_of(self, container: Any) -> PatientDiscovery:
        """Return discovery over a session of its own: the container's client has no recursive watches."""
        if container not in self._discoveries:
            try:
                registry = open_registry(registry_url(container))
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"Servers and path of ZooKeeper, as [{container.ConfigSectionName}] has them: {error}"
                ) from None
            self._discoveries[container] = PatientDiscovery(registry, self.config)
        return self._discoveries[container]

    def open_discovery(self, container: Any) -> PatientDiscovery:
        """Start it; it ends with the application."""
        discovery = self.discovery_of(container)
        if discovery not in self._opened:
            discovery.start()
            self._opened.add(discovery)
        return discovery

    def internal_authorization(self, container: Any) -> FrameworkAuthorization:
        """Return the framework's own."""
        return FrameworkAuthorization(self._app, container)

    # A module

    async def initialize(self, app: Any) -> None:
        """Nothing: what needs discovery starts it."""

    async def finalize(self, app: Any) -> None:  # noqa: ARG002 - as of each module
        """End discovery."""
        await self.drained()
        ends = [discovery.aclose() for discovery in self._opened]
        ends += [discovery.registry.aclose() for discovery in self._discoveries.values()]
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(error, Exception):
                log.error("Discovery didn't end as it should", exc_info=error)

    # Leaving

    async def drained(self) -> None:
        """Return when nobody is sent here any more."""
        await asyncio.shield(self._begin_to_drain())

    def _begin_to_drain(self) -> asyncio.Task[None]:
        if self._drained is None:
            self._drained = self._app.Loop.create_task(self._drain(), name="peerage.asab: draining")
        return self._drained

    async def _drain(self) -> None:
        for service in tuple(self._app.Services.values()):
            if getattr(service, "peerage_floor", None) is Floor.API:
                try:
                    await service.drain(self._app)
                except Exception:
                    log.exception("%s.drain() failed", service.Name)

    def _on_run(self, _message_type: str) -> None:
        self._running = True

    def _on_stop(self, _message_type: str, *_: Any) -> None:
        # Before it runs, the framework ignores a stop.
        if self._running:
            for requests in self._requests:
                requests.close_connections()
            self._begin_to_drain()
