"""What ``asab.api`` does in an application of this layer."""

from typing import TYPE_CHECKING

from peerage.asab import contextvars
from peerage.asab.config import Config
from peerage.asab.endpoints.handlers import add_description, add_settings
from peerage.asab.zookeeper.container import ZooKeeperContainer

if TYPE_CHECKING:
    from peerage.asab.api.service import ApiService
    from peerage.asab.application import Application
    from peerage.asab.web import WebContainer
    from peerage.asab.zookeeper import ZooKeeperService
    from peerage.discovery import Discovery


class OwnLayer:
    """Its lifecycle drains in order; its containers do the rest themselves."""

    config = Config
    contextvars = contextvars

    def __init__(self, app: "Application") -> None:
        self._app = app

    @property
    def unverified(self) -> bool:
        """Whether a handler without authorization handles this request, where there is an AuthService."""
        return contextvars.Unverified.get()

    def serve(self, api: "ApiService", container: "WebContainer") -> None:
        """Add the endpoints."""
        router = container.WebApp.router
        add_description(router, api.Manifest, api.ChangeLog)
        add_settings(router, self._app, Config, contextvars.Authz)

    def make_zookeeper_container(self, service: "ZooKeeperService") -> ZooKeeperContainer:
        """Return a new container."""
        return ZooKeeperContainer(service)

    def open_discovery(self, container: ZooKeeperContainer) -> "Discovery":
        """Start it; it ends with the container."""
        return container.open_discovery()

    def accept_internal_tokens(self, container: ZooKeeperContainer) -> None:
        """Do nothing: AuthService asks discovery for the keys."""
