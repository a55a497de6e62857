"""An application of this layer."""

from typing import TYPE_CHECKING

from peerage.asab import contextvars
from peerage.asab.api.handlers import add_description, add_settings
from peerage.asab.config import Config
from peerage.asab.zookeeper.container import ZooKeeperContainer

if TYPE_CHECKING:
    from peerage.asab.api.service import ApiService
    from peerage.asab.application import Application
    from peerage.asab.web import WebContainer
    from peerage.asab.zookeeper import ZooKeeperService
    from peerage.discovery import Discovery

__all__ = ["OwnHost"]


class OwnHost:
    """Its lifecycle drains in order, and its containers do the rest themselves."""

    config = Config
    contextvars = contextvars

    def __init__(self, app: "Application") -> None:
        self._app = app

    @property
    def unverified(self) -> bool:
        """Return what AuthService says."""
        return contextvars.Unverified.get()

    def serve(self, api: "ApiService", container: "WebContainer") -> None:
        """Add the endpoints."""
        self._app.get_service("asab.WebService").own_ids.claim(api.Name, lambda: api.Discovery)
        router = container.WebApp.router
        add_description(router, api.Manifest, api.ChangeLog)
        add_settings(router, self._app, self)

    def scheme_of(self, container: "WebContainer") -> str:
        """Return what the container says."""
        return container.scheme

    def make_zookeeper_container(self, service: "ZooKeeperService") -> ZooKeeperContainer:
        """Return a new container."""
        return ZooKeeperContainer(service)

    def discovery_of(self, container: ZooKeeperContainer) -> "Discovery":
        """Return that of the container's session."""
        return container.discovery

    def open_discovery(self, container: ZooKeeperContainer) -> "Discovery":
        """Start it; it ends with the container."""
        return container.open_discovery()

    def internal_authorization(self, container: ZooKeeperContainer) -> None:
        """There is none yet."""
